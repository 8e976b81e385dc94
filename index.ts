export { default } from "./src/host/extension.ts";
