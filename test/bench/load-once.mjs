// Loads one extension as the host does, in a process of its own, and prints what that took.
import { pathToFileURL } from "node:url";

const [sdkEntry, extension, cwd] = process.argv.slice(2);
const sdk = await import(pathToFileURL(sdkEntry).href);
const agentDir = process.env["PI_CODING_AGENT_DIR"];
const settingsManager = sdk.SettingsManager.inMemory({});
const loader = new sdk.DefaultResourceLoader({
  cwd,
  agentDir,
  settingsManager,
  additionalExtensionPaths: [extension],
  noExtensions: true,
  noSkills: true,
  noPromptTemplates: true,
  noThemes: true,
  noContextFiles: true,
});
const started = performance.now();
await loader.reload();
// a session opens: what session_start does counts too
const { session } = await sdk.createAgentSession({
  cwd,
  agentDir,
  settingsManager,
  resourceLoader: loader,
  sessionManager: sdk.SessionManager.inMemory(cwd),
});
await session.bindExtensions({});
const ms = performance.now() - started;
const { extensions, errors } = loader.getExtensions();
if (errors.length > 0 || extensions.length !== 1) throw new Error(JSON.stringify(errors));
console.log(JSON.stringify({ ms }));
process.exit(0);
