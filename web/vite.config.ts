import { defineConfig } from "vite";

// One page for now: GraphiQL, served at /graphiql with its assets under /graphiql/assets (src/app/web.py).
// web/build passes --outDir and renames the finished folder into place, so dist/ is never half a build.
export default defineConfig({
  root: "graphiql",
  base: "/graphiql/",
  build: {
    outDir: "../dist/graphiql",
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
