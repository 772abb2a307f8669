// Options of a strategy (kernel.md section 5): each leaves out, or loosens, one step that some litmus test shows to be needed. A variant is a strategy
// like any other: `fix:seqBump=false` in every list of strategies.
import { UsageError } from "../errors.js";
import { OPERATION_KINDS, type OperationKind, type Step, type Strategy } from "./steps.js";

export interface StrategyOptions {
	/** false: change_pte outside a bracket does not raise the sequence (litmus i). */
	readonly seqBump?: false;
	/** false: the new PTE is writable before a notifier without change_pte is invalidated (litmus c). */
	readonly writeProtectStep?: false;
	/** true: a write fault may reuse the page while it is kept write-protected (litmus c'). */
	readonly reuseInWindow?: true;
	/** true: a fault is not stale for its own copy on write (kernel.md 10.2). Any strategy. */
	readonly ownCowAware?: true;
	/** true: the flush of the primary TLB tells the device TLBs at every site, as from 6.6 on (1.0): `wrapped` of 6.6 to 6.9. */
	readonly archFlush?: true;
	/** true: change_pte requests the guest TLB flush and does not wait for it (litmus d, k). */
	readonly deferFlush?: true;
}

type OptionName = keyof StrategyOptions;

/** The value that changes something, and what it changes. */
interface Option {
	readonly value: boolean;
	/** What was safe stays so. */
	readonly safe?: true;
	transform(steps: readonly Step[], kind: OperationKind): readonly Step[];
}

/** notify-secondary-tlb directly behind clear-flush. */
function withArchFlush(steps: readonly Step[]): readonly Step[] {
	if (steps.some(({ step }) => step === "notify-secondary-tlb")) return steps;
	return steps.flatMap((step) => (step.step === "clear-flush" ? [step, { step: "notify-secondary-tlb" } as const] : [step]));
}

const OPTIONS: Readonly<Record<OptionName, Option>> = {
	ownCowAware: {
		value: true,
		safe: true,
		transform: (steps, kind) =>
			steps.map((step) => (step.step === "alloc-copy" && kind === "cow" ? { ...step, retry: "unless-own" as const } : step)),
	},
	archFlush: { value: true, safe: true, transform: withArchFlush },
	seqBump: { value: false, transform: (steps) => steps.filter(({ step }) => step !== "bump-seq") },
	writeProtectStep: {
		value: false,
		transform: (steps) => steps.filter(({ step }) => step !== "set-pte-write-protected" && step !== "make-writable"),
	},
	reuseInWindow: {
		value: true,
		transform: (steps) => steps.map((step) => (step.step === "set-pte-write-protected" ? { ...step, reuse: "allowed" } : step)),
	},
	deferFlush: {
		value: true,
		transform: (steps) => steps.map((step) => (step.step === "change-pte" ? { ...step, flush: "deferred" } : step)),
	},
};
const OPTION_NAMES = Object.keys(OPTIONS) as OptionName[];

/** The steps that an option is about; without them it would change nothing. */
const SUBJECT: Readonly<Record<OptionName, Step["step"]>> = {
	seqBump: "bump-seq",
	writeProtectStep: "set-pte-write-protected",
	reuseInWindow: "set-pte-write-protected",
	deferFlush: "change-pte",
	ownCowAware: "alloc-copy",
	archFlush: "clear-flush",
};

/** A variant of `strategy`, named after it and its options. @throws UsageError where an option is not about this strategy */
export function withOptions(strategy: Strategy, options: StrategyOptions): Strategy {
	let { name, operations, safe } = strategy;
	for (const option of OPTION_NAMES) {
		if (options[option] === undefined) continue;
		const { value, transform } = OPTIONS[option];
		const subject = SUBJECT[option];
		if (!OPERATION_KINDS.some((kind) => operations[kind].some(({ step }) => step === subject)))
			throw new UsageError(`${option} changes nothing: ${strategy.name} has no step ${subject}`, { where: `${strategy.name}:${option}` });
		name += `:${option}=${value}`;
		safe &&= OPTIONS[option].safe === true;
		operations = Object.fromEntries(OPERATION_KINDS.map((kind) => [kind, transform(operations[kind], kind)])) as Record<
			OperationKind,
			readonly Step[]
		>;
	}
	return {
		...strategy,
		name,
		kernels: "none",
		safe,
		title: `${strategy.title} (${name.slice(strategy.name.length + 1)})`,
		operations,
	};
}

/** The options of `name:option=value:…`. @throws UsageError */
export function parseOptions(text: string): StrategyOptions {
	const options: Partial<Record<OptionName, boolean>> = {};
	for (const part of text.split(":")) {
		const [given = "", value = ""] = part.split("=");
		const option = OPTION_NAMES.find((name) => name === given);
		if (option === undefined || value !== String(OPTIONS[option].value))
			throw new UsageError(`unknown strategy option ${part}`, {
				hint: `the options are ${OPTION_NAMES.map((name) => `${name}=${OPTIONS[name].value}`).join(", ")}`,
			});
		options[option] = OPTIONS[option].value;
	}
	return options as StrategyOptions;
}
