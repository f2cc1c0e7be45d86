// Monaco's worker modules ship without types; vite/client types what `?worker` gives.
interface Window {
  MonacoEnvironment?: import("monaco-editor").Environment;
}
declare var MonacoEnvironment: import("monaco-editor").Environment | undefined;
