// The engine's thread: the page's own binary, which sees that it runs in a worker. The page sends the compiled
// program first, so that it is neither fetched nor compiled a second time.
const program = new Promise((resolve) => addEventListener("message", ({ data }) => resolve(data), { once: true }));
// Subgroups are asked for beside what wgpu asks for: its browser backend does not know them. The program checks what they compute.
const adapters = globalThis.GPUAdapter?.prototype;
const requestDevice = adapters?.requestDevice;
if (requestDevice) {
  adapters.requestDevice = function (wanted = {}) {
    const beside = this.features.has("subgroups") ? ["subgroups"] : [];
    return requestDevice.call(this, { ...wanted, requiredFeatures: [...(wanted.requiredFeatures ?? []), ...beside] });
  };
}
import init from "./headstart.js";
await init({ module_or_path: await program });
