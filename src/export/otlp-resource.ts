import { arch, hostname, platform } from "node:os";
import { type Attributes, intValue, textValue } from "./otlp-json.ts";

const SERVICE_NAME = "pi-foreman";

/** Values of `os.type` and `host.arch` in OpenTelemetry's conventions, where Node's differ. */
const OS_TYPES: Readonly<Record<string, string>> = { win32: "windows", sunos: "solaris" };
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", ia32: "x86", arm: "arm32" };

/**
 * Who tells, in the names of https://opentelemetry.io/docs/specs/semconv/resource/: what the user gave wins.
 * `instanceId` must differ between sessions, or stores take their cumulative series for one.
 */
export function resourceAttributes(
  own: { readonly version: string; readonly instanceId: string },
  given: { readonly serviceName: string | null; readonly resourceAttributes: Readonly<Record<string, string>> },
): Attributes {
  const fromUser = Object.entries(given.resourceAttributes).map(([key, text]) => [key, textValue(text)] as const);
  return {
    "service.name": textValue(SERVICE_NAME),
    "service.version": textValue(own.version),
    "service.instance.id": textValue(own.instanceId),
    "host.name": textValue(hostname()),
    "host.arch": textValue(ARCHITECTURES[arch()] ?? arch()),
    "os.type": textValue(OS_TYPES[platform()] ?? platform()),
    "process.pid": intValue(process.pid),
    "process.runtime.name": textValue("nodejs"),
    "process.runtime.version": textValue(process.versions.node),
    ...Object.fromEntries(fromUser),
    ...(given.serviceName === null ? {} : { "service.name": textValue(given.serviceName) }),
  };
}
