// The two yardsticks beside the engine: the native floor, compiled here with the system's compiler, and the engine in plain JavaScript.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
/** In a clone only. */
const FLOOR = join(ROOT, "bench", "native", "floor.c");
const PLAIN = join(ROOT, "bench", "plain.ts");

export const IN_CLONE = existsSync(FLOOR);

export interface Yardstick {
	readonly name: "native floor" | "plain JavaScript";
	/** The command for a trace and the events to skip. */
	command(trace: string, skip: number, touch?: "loads" | "prefetch"): readonly string[];
}

const compilers = [process.env.CC, "cc", "gcc", "clang"].filter((name) => name !== undefined && name !== "");

/** The native floor; a word where there can be none. */
export function nativeFloor(cache: string): Yardstick | string {
	if (!IN_CLONE) return "its source is in the repository only";
	const source = readFileSync(FLOOR);
	const binary = join(cache, `floor-${createHash("sha256").update(source).digest("hex").slice(0, 12)}`);
	mkdirSync(cache, { recursive: true });
	if (!existsSync(binary) && !compilers.some((compiler) => compiled(String(compiler), binary))) return "no C compiler that builds it here";
	return { name: "native floor", command: (trace, skip, touch = "loads") => [binary, trace, String(skip), touch] };
}

function compiled(compiler: string, binary: string): boolean {
	try {
		execFileSync(compiler, ["-O3", "-march=native", "-o", binary, FLOOR], { stdio: "ignore" });
		return existsSync(binary);
	} catch {
		return false;
	}
}

/** The engine in plain JavaScript; a word where there can be none. */
export function plainEngine(cache: string): Yardstick | string {
	if (!existsSync(PLAIN)) return "its source is in the repository only";
	const bundle = join(cache, "plain.cjs");
	try {
		const esbuild = createRequire(import.meta.url).resolve("esbuild/bin/esbuild");
		const flags = ["--bundle", "--platform=node", "--format=cjs", "--log-level=warning"];
		execFileSync(esbuild, [PLAIN, ...flags, `--outfile=${bundle}`], { cwd: ROOT, stdio: ["ignore", "ignore", "pipe"] });
	} catch (error) {
		return `esbuild does not bundle it: ${error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error)}`;
	}
	return { name: "plain JavaScript", command: (trace, skip) => [process.execPath, bundle, trace, String(skip)] };
}
