// mmreplay import and cat as processes: standard input, what errors call it, what is left behind, and the way to text and back.
import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { asTracefs, smallRun } from "../import/encode.js";
import { gzipped } from "../import/encodebinary.js";
import { MAIN, mmreplay } from "./process.js";
import { withFolder } from "./traces.js";

const RUN = asTracefs(smallRun());

describe("import of standard input", () => {
	it("is called <stdin> in errors and warnings", async () => {
		const cut = await mmreplay(["import", "-", "-o", "/dev/null"], { input: RUN.slice(0, -30) });
		expect(cut.status).toBe(3);
		expect(cut.stderr).toMatch(/^mmreplay: error: the trace is cut off in its last line \(<stdin>, line \d+\)\nhint: /);
		const probes = RUN.replace(/\([a-z_]+\+0x0\/0x\w+\)/g, "(ffffffff81000000)");
		const named = await mmreplay(["import", "-", "-o", "-"], { input: probes });
		expect(named.stderr).not.toMatch(/mmreplay-/);
		const cat = await mmreplay(["cat", "-"], { input: "hello\n" });
		expect(cat.stderr).toMatch(/\(<stdin>\)\n/);
	});

	it("may be gzip'ed, and counts as it writes", async () => {
		await withFolder(async (folder) => {
			const path = join(folder, "t.mmtrace");
			const plain = await mmreplay(["import", "-", "-o", path, "--json"], { input: RUN });
			const packed = await mmreplay(["import", "-", "-o", path, "--json"], { input: gzipped(RUN) });
			const kinds = (text: string): unknown => {
				const { causeKinds, observationKinds, digest } = JSON.parse(text) as Record<string, unknown>;
				return { causeKinds, observationKinds, digest };
			};
			expect(kinds(packed.stdout)).toEqual(kinds(plain.stdout));
			const info = JSON.parse((await mmreplay(["info", "--json", path])).stdout) as Record<string, unknown>;
			expect(info).toMatchObject({ causes: (JSON.parse(plain.stdout) as Record<string, unknown>).causeKinds });
		});
	});

	it("leaves nothing behind when it is interrupted", async () => {
		await withFolder(async (folder) => {
			const child = spawn(process.execPath, [MAIN, "import", "-", "-o", join(folder, "t.mmtrace")], {
				stdio: ["pipe", "ignore", "ignore"],
				env: { ...process.env, TMPDIR: folder },
			});
			child.stdin.write(RUN);
			while (!readdirSync(folder).some((name) => name.startsWith("mmreplay-"))) await new Promise((resolve) => setTimeout(resolve, 20));
			await new Promise((resolve) => setTimeout(resolve, 50));
			child.kill("SIGTERM");
			await new Promise((resolve) => child.on("close", resolve));
			expect(readdirSync(folder)).toEqual([]);
		});
	});
});

describe("import", () => {
	it.each(["abc", "", "v6"])("of a kernel called %j is a usage error", async (kernel) => {
		const ended = await mmreplay(["import", "-", "-o", "/dev/null", "--kernel", kernel], { input: RUN });
		expect(ended.status).toBe(2);
		expect(ended.stderr).toMatch(/no kernel release \(--kernel\)\nhint: as uname -r says it/);
	});

	it("takes back what cat --format tracefs printed", async () => {
		await withFolder(async (folder) => {
			const [first, second] = [join(folder, "a.mmtrace"), join(folder, "b.mmtrace")];
			await mmreplay(["import", "-", "-o", first], { input: RUN });
			const text = await mmreplay(["cat", "--format", "tracefs", first]);
			expect(text.stdout).toMatch(/^# tracer: nop\n/);
			const back = await mmreplay(["import", "-", "-o", second], { input: text.stdout });
			expect(back.status).toBe(0);
			expect(readFileSync(second)).toEqual(readFileSync(first));
		});
	});
});
