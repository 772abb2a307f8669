// One set-up at a time: a directory that appears complete, by a rename, and holds its owner's process id.

import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { root } from "./stamp.mjs";

const lock = join(root, ".setup-lock");
const mine = `${lock}-${process.pid}`;
const me = `${process.pid} ${hostname()}`;
// Longer than any install: it only ends a lock whose owner's id was taken over by another process or lives on another host.
const tooOldMs = 10 * 60 * 1000;

function owner(directory = lock) {
	try {
		return readFileSync(join(directory, "owner"), "utf8");
	} catch {
		return undefined;
	}
}

function isStale(holder) {
	const [pid, host] = holder.split(" ");
	if (host === hostname()) {
		try {
			process.kill(Number(pid), 0);
		} catch (error) {
			if (error.code === "ESRCH") return true;
		}
	}
	const stat = statSync(lock, { throwIfNoEntry: false });
	return stat !== undefined && Date.now() - stat.mtimeMs > tooOldMs;
}

function tryTake() {
	mkdirSync(mine, { recursive: true });
	writeFileSync(join(mine, "owner"), me);
	try {
		renameSync(mine, lock);
		return true;
	} catch (error) {
		if (["ENOTEMPTY", "EEXIST", "EPERM", "EACCES"].includes(error.code) && owner() !== undefined) return false;
		throw error;
	} finally {
		rmSync(mine, { recursive: true, force: true });
	}
}

/** Take a dead owner's lock away; another waiter may have been quicker, and then it is put back. */
function remove(holder) {
	const gone = `${mine}-stale`;
	try {
		renameSync(lock, gone);
	} catch (error) {
		if (error.code === "ENOENT") return;
		throw error;
	}
	if (owner(gone) === holder) rmSync(gone, { recursive: true, force: true });
	else renameSync(gone, lock);
}

/** Run `work` while no other process is setting up; waits, and takes over from an owner that is gone. */
export async function withLock(work) {
	let told = false;
	while (!tryTake()) {
		const holder = owner();
		if (holder !== undefined && isStale(holder)) {
			remove(holder);
			continue;
		}
		if (!told) console.error(`waiting for another set-up (process ${holder})`);
		told = true;
		await sleep(100);
	}
	const release = () => {
		if (owner() === me) rmSync(lock, { recursive: true, force: true });
	};
	const interrupted = () => process.exit(130);
	process.once("exit", release).once("SIGINT", interrupted).once("SIGTERM", interrupted);
	try {
		return await work();
	} finally {
		process.off("exit", release).off("SIGINT", interrupted).off("SIGTERM", interrupted);
		release();
	}
}
