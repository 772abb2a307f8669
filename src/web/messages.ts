// What the page and its worker say to each other. Everything goes by structured clone: a File without being copied, counters as typed arrays.
import type { Machine } from "../machine/machine.js";
import type { Replayed } from "../report/held.js";

/** The engine's builds by file name: `release.wasm`, `scalar.wasm`. */
export type Modules = Readonly<Record<string, Uint8Array>>;

export interface Request {
	readonly file: File;
	/** Names of built-in strategies. */
	readonly strategies: readonly string[];
	readonly machine: Machine;
	readonly modules: Modules;
}

export type Answer =
	| { readonly kind: "progress"; readonly events: number; readonly bytes: number }
	| { readonly kind: "done"; readonly replayed: Replayed }
	/** As the command line says it. */
	| { readonly kind: "failed"; readonly message: string; readonly hint: string | undefined };
