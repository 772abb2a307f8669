// A strategy as JSON: what `mmreplay strategies NAME` prints and `--strategies FILE` takes (docs/strategy.schema.json). Data, no code.

import { BadInputError } from "../errors.js";
import { type FieldReader, readDocument } from "../machine/fields.js";
import { bracketed } from "./bracketed.js";
import { type ChangePte, encodeStrategy, OPERATION_KINDS, type OperationKind, STEP_CODES, type Step, type Strategy } from "./steps.js";

const STEPS = Object.keys(STEP_CODES) as Step["step"][];

function readChangePte(fields: FieldReader): ChangePte {
	const change: ChangePte = {
		step: "change-pte",
		mode: fields.word("mode", ["update", "establish"]),
		writable: fields.word("writable", ["zap", "map", "refuse"]),
		...(fields.has("guard") ? { guard: fields.word("guard", ["own-bracket", "none"]) } : {}),
		...(fields.has("unless") ? { unless: fields.word("unless", ["replace-follows"]) } : {}),
		...(fields.has("flush") ? { flush: fields.word("flush", ["deferred"]) } : {}),
	};
	if (change.mode === "update" && change.writable === "refuse") fields.fail("writable", "an update zaps or maps; refuse is for establish");
	return change;
}

function readStep(fields: FieldReader): Step {
	const step = fields.word("step", STEPS);
	let read: Step;
	if (step === "change-pte") read = readChangePte(fields);
	else if (step === "range-start" || step === "range-end") {
		read = fields.has("kvm") ? { step, kvm: fields.boolean("kvm") } : { step };
	} else if (step === "alloc-copy" && fields.has("retry")) read = { step, retry: fields.word("retry", ["unless-own"]) };
	else if (step === "set-pte-write-protected" && fields.has("reuse")) read = { step, reuse: fields.word("reuse", ["allowed"]) };
	else read = { step };
	fields.done();
	return read;
}

/** Steps that belong together: who opens closes. */
const PAIRS = [
	["range-start", "range-end"],
	["lock", "unlock"],
] as const;

/** Operations that every strategy says something of. */
const REQUIRED: readonly OperationKind[] = ["cow", "unshare", "ksm-write-protect", "ksm-replace", "zap", "protect", "fork", "invalidate"];
/** Of the others a strategy says nothing as a rule: then they are as in today's kernel, in a bracket. */
const TODAY = bracketed({ archFlush: true });

function readSteps(operations: FieldReader, kind: OperationKind): readonly Step[] {
	if (!REQUIRED.includes(kind) && !operations.has(kind)) return TODAY[kind];
	const steps = operations.items(kind).map((value, at) => readStep(operations.item(kind, at, value)));
	const places = (name: Step["step"]): number[] => steps.flatMap(({ step }, at) => (step === name ? [at] : []));
	for (const [opens, closes] of PAIRS) {
		const [from, to] = [places(opens), places(closes)];
		if (from.length > 1 || from.length !== to.length || (from[0] ?? 0) > (to[0] ?? 0)) {
			operations.fail(kind, `${opens} and ${closes} must stand once each, in this order, or not at all`);
		}
	}
	if (places("set-pte").length !== 1) operations.fail(kind, "set-pte must stand once: the operation changes the PTE");
	return steps;
}

function readOption(fields: FieldReader): 1 | 2 | 3 | null {
	const option = fields.optional("option") ?? null;
	return option === null || option === 1 || option === 2 || option === 3 ? option : fields.fail("option", "must be 1, 2, 3 or null");
}

/** @throws BadInputError that names the field */
export function parseStrategy(text: string, where: string): Strategy {
	const fields = readDocument(text, where, "a strategy");
	fields.optional("schema");
	fields.optional("$schema");
	const operations = fields.object("operations");
	const steps = Object.fromEntries(OPERATION_KINDS.map((kind) => [kind, readSteps(operations, kind)])) as Strategy["operations"];
	operations.done();
	const option = readOption(fields);
	const strategy: Strategy = {
		name: fields.text("name"),
		option,
		title: fields.has("title") ? fields.text("title") : "",
		kernels: fields.has("kernels") ? fields.text("kernels") : "",
		source: fields.has("source") ? fields.texts("source") : [],
		safe: fields.has("safe") ? fields.boolean("safe") : false,
		operations: steps,
	};
	if (!/^[a-z0-9][a-z0-9._-]*(:[a-zA-Z]+=[a-z]+)*$/.test(strategy.name)) {
		fields.fail("name", "must be lower-case letters, digits, dots and dashes, with options like :seqBump=false");
	}
	fields.done();
	try {
		encodeStrategy(strategy);
	} catch (cause) {
		if (cause instanceof RangeError) throw new BadInputError(cause.message, { where, cause });
		throw cause;
	}
	return strategy;
}
