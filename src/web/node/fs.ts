// node:fs for a browser's worker: a file is a Blob that the reader chose, read piece by piece where it lies. The engine's modules come with the page.

/** In workers only, so not among the types of a page. */
declare class FileReaderSync {
	readAsArrayBuffer(blob: Blob): ArrayBuffer;
}

/** Every read of a Blob goes to another process and back: a little of the file is kept, read ahead. */
const AHEAD_BYTES = 4 << 20;

interface OpenFile {
	readonly blob: Blob;
	/** The bytes that were read last, and where they stand. */
	from: number;
	bytes: Uint8Array;
}

const blobs = new Map<string, Blob>();
const modules = new Map<string, Uint8Array>();
const open: (OpenFile | undefined)[] = [];

/** Make a file known by its name. */
export function provideBlob(name: string, blob: Blob): void {
	blobs.set(name, blob);
}

/** @param name without its folder, as `release.wasm` */
export function provideModule(name: string, bytes: Uint8Array): void {
	modules.set(name, bytes);
}

function noSuchFile(path: string): Error {
	return Object.assign(new Error(`no such file: ${path}`), { code: "ENOENT" });
}

export function readFileSync(path: URL | string): Uint8Array {
	const name = String(path).split("/").at(-1) ?? "";
	const bytes = modules.get(name);
	if (bytes === undefined) throw noSuchFile(name);
	return bytes;
}

export function openSync(path: string): number {
	const blob = blobs.get(path);
	if (blob === undefined) throw noSuchFile(path);
	return open.push({ blob, from: 0, bytes: new Uint8Array(0) }) - 1;
}

export function fstatSync(fd: number): { size: number; isFile(): boolean; isDirectory(): boolean } {
	return { size: open[fd]?.blob.size ?? 0, isFile: () => true, isDirectory: () => false };
}

export function readSync(fd: number, target: Uint8Array, offset: number, length: number, position: number): number {
	const file = open[fd];
	if (file === undefined) throw new Error("the file is closed");
	if (position < file.from || Math.min(position + length, file.blob.size) > file.from + file.bytes.length) {
		const piece = file.blob.slice(position, position + Math.max(length, AHEAD_BYTES));
		file.bytes = new Uint8Array(new FileReaderSync().readAsArrayBuffer(piece));
		file.from = position;
	}
	const found = file.bytes.subarray(position - file.from, position - file.from + length);
	target.set(found, offset);
	return found.length;
}

export function readvSync(fd: number, targets: readonly Uint8Array[], position: number): number {
	let have = 0;
	for (const target of targets) {
		const read = readSync(fd, target, 0, target.length, position + have);
		have += read;
		if (read < target.length) break;
	}
	return have;
}

export function closeSync(fd: number): void {
	open[fd] = undefined;
}
