import { defineConfig } from "vite";

// One page to a build, by name: each is served at /<name> with its assets under /<name>/assets (src/app/web.py).
// web/build passes --outDir and renames the finished folder into place, so dist/ is never half a build.
declare const process: { env: Record<string, string | undefined> };
const page = process.env.COLLOQUY_PAGE ?? "graphiql";

export default defineConfig({
  root: page,
  base: `/${page}/`,
  build: {
    outDir: `../dist/${page}`,
    emptyOutDir: true,
    assetsDir: "assets",
    // No data: URLs made by the build; every asset is a file with a hash in its name.
    assetsInlineLimit: 0,
    target: "es2022",
    sourcemap: false,
    // Monaco is one large library whichever way it is cut; the page is a developer's tool.
    chunkSizeWarningLimit: 5000,
    reportCompressedSize: false,
    // Directives such as "use client" in packages mean nothing in a page without a server renderer.
    rolldownOptions: { checks: { moduleLevelDirective: false } },
  },
  worker: { format: "es" },
});
