// The engine's thread: the page's own binary, which sees that it runs in a worker. The page sends the compiled
// program first, so that it is neither fetched nor compiled a second time.
const program = new Promise((resolve) => addEventListener("message", ({ data }) => resolve(data), { once: true }));
import init from "./headstart.js";
await init({ module_or_path: await program });
