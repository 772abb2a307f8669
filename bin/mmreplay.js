#!/usr/bin/env node
// Starts dist/cli/main.js. In a clone dist/ is brought up to date first; an installed package carries it and has no scripts/.

import { existsSync } from "node:fs";

const at = (path) => new URL(path, import.meta.url);

function leave(what, hint) {
	console.error(`mmreplay: error: ${what}\nhint: ${hint}`);
	process.exit(70);
}

if (existsSync(at("../scripts/stamp.mjs")) && existsSync(at("../node_modules"))) {
	const { isFresh } = await import("../scripts/stamp.mjs");
	if (!isFresh()) {
		const { build } = await import("../scripts/build.mjs");
		if (!(await build())) leave("the build failed (dist)", "npm test says what is wrong");
	}
}
if (!existsSync(at("../dist/cli/main.js"))) leave("not set up (dist)", "npm ci installs what it needs and builds it");
await import("../dist/cli/main.js");
