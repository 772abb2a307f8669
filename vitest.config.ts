import { defineConfig } from "vitest/config";

export default defineConfig({
	test: {
		// A suite may replay a whole capture.
		testTimeout: 60_000,
		maxWorkers: "100%",
		projects: [
			{ extends: true, test: { name: "unit", include: ["test/**/*.test.ts"], exclude: ["test/**/*.ci.test.ts", "test/browser/**"] } },
			{ extends: true, test: { name: "browser", include: ["test/browser/**/*.test.ts"] } },
			{ extends: true, test: { name: "ci", include: ["test/**/*.ci.test.ts"] } },
		],
	},
});
