// How the host is looked at: a few questions that change nothing and need no privilege beyond what they are asked with. Tests answer them for other
// hosts.
import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, readdirSync, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";

export interface HostProbe {
	readonly platform: string;
	/** 0: root. -1 where the platform has none. */
	readonly uid: number;
	/** A file's text; undefined where it is missing or may not be read. */
	text(path: string): string | undefined;
	bytes(path: string): Uint8Array | undefined;
	/** Names in a folder; undefined where it is missing or may not be read. */
	names(path: string): readonly string[] | undefined;
	exists(path: string): boolean;
	/** First line of `TOOL --version`; undefined where the tool is not installed. */
	version(tool: string): string | undefined;
}

function attempt<T>(read: () => T): T | undefined {
	try {
		return read();
	} catch {
		return undefined;
	}
}

function installed(tool: string): boolean {
	// Where system tools are, whatever an ordinary user's PATH has.
	const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/sbin"];
	return folders.some(
		(folder) =>
			folder !== "" && attempt(() => accessSync(join(folder, tool), constants.X_OK)) === undefined && existsSync(join(folder, tool)),
	);
}

export function thisHost(): HostProbe {
	return {
		platform: process.platform,
		uid: process.getuid?.() ?? -1,
		text: (path) => attempt(() => readFileSync(path, "utf8")),
		bytes: (path) => attempt(() => readFileSync(path)),
		names: (path) => attempt(() => readdirSync(path)),
		exists: (path) => existsSync(path),
		version: (tool) => {
			if (!installed(tool)) return undefined;
			const { stdout, stderr } = spawnSync(tool, ["--version"], { encoding: "utf8", timeout: 5000 });
			return (
				`${stdout ?? ""}${stderr ?? ""}`
					.split("\n")
					.find((line) => line.trim() !== "")
					?.trim() ?? tool
			);
		},
	};
}
