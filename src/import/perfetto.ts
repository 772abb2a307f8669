import type { EventSource } from "./source.js";
export function perfettoSource(path: string): EventSource {
	throw new Error(path);
}
