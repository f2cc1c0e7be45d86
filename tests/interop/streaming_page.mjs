// The TypeScript loop of docs/streaming.md, as it stands, over a WebSocket that breaks after three events, then after four …
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { WebSocket } from "ws";

const [url, token, id] = process.argv.slice(2);
const vite = await import(createRequire(new URL("../../web/package.json", import.meta.url)).resolve("vite"));
const page = await readFile(new URL("../../docs/streaming.md", import.meta.url), "utf8");
const [, source] = page.match(/```typescript\n(.*?)```/s);
const { code } = await vite.transformWithOxc(source, "watch.ts");

let connections = 0;
globalThis.WebSocket = class extends WebSocket {
  constructor(...given) {
    super(...given);
    connections += 1;
    // Not always three: an answer of nine events would break at its end for ever, before it completes.
    let left = 2 + connections;
    this.on("message", (data) => {
      if (JSON.parse(data).type !== "next" || --left > 0) return;
      this.removeAllListeners("message"); // what has arrived behind it is lost
      this.terminate();
    });
  }
};
const { watch } = await import(`data:text/javascript,${encodeURIComponent(code)}`);
const told = await watch(url.replace("http", "ws"), token, id, () => {}).then(
  (text) => ({ text }),
  (error) => ({ error: error.message }),
);
console.log(JSON.stringify({ ...told, connections }));
