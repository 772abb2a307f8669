// The invariants that every step is watched for (kernel.md section 6), as far as a small machine can break them. A broken rule stays broken.

/** In the order of their bits. */
export const RULES = ["I-1", "I-2", "I-3", "I-5", "I-8", "I-9", "I-15", "I-19"] as const;
export type Rule = (typeof RULES)[number];

export const RULE_TEXT: Readonly<Record<Rule, string>> = {
	"I-1": "a translation leads to a freed page",
	"I-2": "a translation leads to a page that is not the host's",
	"I-3": "a translation allows a write that the host's does not",
	"I-5": "a KSM page or the zero page is writable",
	"I-8": "a writable PTE changes its page",
	"I-9": "a merge is decided while somebody can write",
	"I-15": "a page with a guest's write counts as clean",
	"I-19": "a write is lost",
};

/** The bit of a rule in a state's byte. */
export const RULE_BIT = Object.fromEntries(RULES.map((rule, at) => [rule, 1 << at])) as Readonly<Record<Rule, number>>;
