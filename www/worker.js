// The engine's thread: the page's own binary, which sees that it runs in a worker.
import init from "./headstart.js";
await init();
