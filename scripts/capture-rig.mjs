// npm run capture:rig: from nothing but Debian's packages to an imported trace of a real kernel, and how exactly mmreplay reproduces it. A kernel is
// downloaded and unpacked (not installed), boots under QEMU, runs the VMs of traces/capture/vmm.c while ksmd merges their memory, and is traced.
//
//   npm run capture:rig -- [--runs tiny,small] [--kernel PACKAGE] [--work DIR] [--optional] [--summary FILE]
//
// --work keeps the kernel, the captures and the traces there. --optional: where a package is missing, say so and succeed.

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { setUp } from "./setup.mjs";
import { root } from "./stamp.mjs";

/** Debian's packages, by a program of each. */
const PACKAGES = {
	"qemu-system-x86_64": "qemu-system-x86",
	busybox: "busybox-static",
	cpio: "cpio",
	gcc: "gcc libc6-dev",
	gzip: "gzip",
	xz: "xz-utils",
	tar: "tar",
	"dpkg-deb": "dpkg",
	"apt-get": "apt",
};
const METAPACKAGE = "linux-image-cloud-amd64";

class RigError extends Error {}

const { values } = parseArgs({
	options: {
		runs: { type: "string", default: "tiny" },
		kernel: { type: "string" },
		work: { type: "string" },
		optional: { type: "boolean", default: false },
		summary: { type: "string" },
	},
});

const say = (line) => console.log(`capture-rig: ${line}`);
const rig = (name) => join(root, "traces", "capture", name);

function isInstalled(program) {
	return spawnSync("sh", ["-c", `command -v ${program}`]).status === 0;
}

function run(program, args, options = {}) {
	const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: "utf8", maxBuffer: 1 << 28, ...options });
	if (error !== undefined || status !== 0) {
		throw new RigError(`${program} ${args[0] ?? ""} failed: ${(stderr ?? error?.message ?? "").trim().split("\n").slice(-5).join(" | ")}`);
	}
	return stdout;
}

/** The kernel image and the folder of its modules. */
function fetchKernel(work) {
	const unpacked = join(work, "kernel");
	const images = () =>
		existsSync(join(unpacked, "boot")) ? readdirSync(join(unpacked, "boot")).filter((name) => name.startsWith("vmlinuz-")) : [];
	if (images().length === 0) {
		const depends = values.kernel ?? /Depends: (linux-image-\S+)/.exec(run("apt-cache", ["depends", METAPACKAGE]))?.[1];
		if (depends === undefined) throw new RigError(`apt knows no ${METAPACKAGE}: run apt-get update first, or name a package with --kernel`);
		say(`kernel ${depends}`);
		run("apt-get", ["-q", "download", depends], { cwd: work });
		const [archive] = readdirSync(work).filter((name) => name.startsWith(`${depends}_`) && name.endsWith(".deb"));
		if (archive === undefined) throw new RigError(`${depends} was not downloaded`);
		run("dpkg-deb", ["-x", join(work, archive), unpacked]);
	}
	const [image] = images();
	if (image === undefined) throw new RigError("the package has no kernel image");
	const modules = [join(unpacked, "lib", "modules"), join(unpacked, "usr", "lib", "modules")].find((path) => existsSync(path));
	if (modules === undefined) throw new RigError("the package has no modules");
	return { image: join(unpacked, "boot", image), modules };
}

function mmreplay(...args) {
	return spawnSync(process.execPath, [join(root, "bin", "mmreplay.js"), ...args], { encoding: "utf8", maxBuffer: 1 << 28 });
}

/** Import one capture and hold it against itself; whether it is exact. */
function judge(capture, trace, release) {
	const imported = mmreplay("import", capture, "-o", trace, "--kernel", release);
	process.stdout.write(imported.stdout);
	process.stderr.write(imported.stderr);
	if (imported.status !== 0) throw new RigError(`the capture in ${capture} could not be imported`);
	const held = mmreplay("fidelity", trace, "--json");
	if (held.status !== 0 && held.status !== 1) throw new RigError(`fidelity failed: ${held.stderr.trim()}`);
	const [{ rows, kernel, strategy, exact }] = JSON.parse(held.stdout).traces;
	const decidable = rows.filter((row) => row.decidable);
	const differing = decidable.filter((row) => row.difference !== 0);
	for (const { phase, counter, predicted, observed } of differing.slice(0, 10)) {
		say(`phase ${phase ?? "all"}, ${counter}: predicted ${predicted}, observed ${observed}`);
	}
	say(
		`${exact ? "exact" : "NOT exact"}: ${decidable.length - differing.length} of ${decidable.length} decidable counts are as observed (Linux ${kernel || "?"}, ${strategy})`,
	);
	return exact;
}

async function capture(work) {
	const { image, modules } = fetchKernel(work);
	const vmm = join(work, "vmm");
	run("gcc", ["-O2", "-Wall", "-static", "-pthread", "-o", vmm, rig("vmm.c")]);
	const initrd = join(work, "initrd.gz");
	run("sh", [rig("initrd.sh"), modules, initrd], { env: { ...process.env, VMM: vmm } });
	const began = performance.now();
	run("sh", [rig("run.sh"), join(work, "runs"), image, initrd, `cap.runs=${values.runs}`]);
	say(`captured ${values.runs} in ${((performance.now() - began) / 1000).toFixed(0)} s`);
	const release = /^Linux (\S+)/.exec(readFileSync(join(work, "runs", "system.txt"), "utf8"))?.[1] ?? "";
	const verdicts = values.runs.split(",").map((name) => {
		const folder = join(work, "runs", name);
		if (!/^rc=0$/m.test(readFileSync(join(folder, "result.txt"), "utf8")))
			throw new RigError(`the workload ${name} failed: see ${folder}/vmm.log`);
		return judge(folder, join(work, `${name}.mmtrace`), release);
	});
	return verdicts;
}

function finish(passed, failed, skipped) {
	if (values.summary !== undefined) {
		mkdirSync(dirname(resolve(values.summary)), { recursive: true });
		writeFileSync(values.summary, JSON.stringify([{ name: "capture rig", passed, failed, skipped }]));
	}
	process.exitCode = failed > 0 ? 1 : 0;
}

const missing = Object.keys(PACKAGES).filter((program) => !isInstalled(program));
if (missing.length > 0) {
	const packages = missing.map((program) => PACKAGES[program]).join(" ");
	say(`${values.optional ? "skipped" : "FAILED"}: missing packages: apt-get install --no-install-recommends ${packages}`);
	finish(0, values.optional ? 0 : 1, values.optional ? 1 : 0);
} else {
	const work = values.work === undefined ? mkdtempSync(join(tmpdir(), "capture-rig-")) : resolve(values.work);
	mkdirSync(work, { recursive: true });
	try {
		await setUp();
		const verdicts = await capture(work);
		const exact = verdicts.filter(Boolean).length;
		say(
			exact === verdicts.length
				? `exact: ${exact} of ${verdicts.length} captures`
				: `NOT exact: ${verdicts.length - exact} of ${verdicts.length} captures`,
		);
		finish(exact, verdicts.length - exact, 0);
	} catch (error) {
		if (!(error instanceof RigError)) throw error;
		say(`FAILED: ${error.message}`);
		finish(0, 1, 0);
	} finally {
		if (values.work === undefined) rmSync(work, { recursive: true, force: true });
	}
}
