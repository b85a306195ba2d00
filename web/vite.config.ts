import { defineConfig } from "vite";

export default defineConfig({
  base: "./", // also behind a proxy that gives the server a path of its own
  build: {
    assetsInlineLimit: 0, // the page's policy lets no data: in
    modulePreload: false,
    sourcemap: false,
    target: "es2022",
    cssTarget: ["chrome123", "firefox120", "safari17.5"], // light-dark() stays as it is written
  },
  server: { proxy: { "/v1": "http://127.0.0.1:8080" } },
});
