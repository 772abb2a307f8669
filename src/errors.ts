// The errors that mmreplay means to show: one line that says what and where, a hint, and an exit status (cli.md, conventions).
// Anything else that is thrown is a defect of mmreplay's own and ends with status 70.

export interface ErrorContext {
	/** File, byte offset, block and event index, as far as there are any. */
	readonly where?: string | undefined;
	/** What the user can do about it. */
	readonly hint?: string | undefined;
	readonly cause?: unknown;
}

/** What a damaged source or a file's name put into it neither ends the line nor commands a terminal. */
const oneLine = (text: string): string => text.replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, "?");

/** The command line prints `mmreplay: error: WHAT (WHERE)` and `hint: HINT`. */
export class MmreplayError extends Error {
	readonly exitCode: number;
	readonly what: string;
	readonly where: string | undefined;
	readonly hint: string | undefined;

	constructor(exitCode: number, what: string, context: ErrorContext = {}) {
		const said = oneLine(what);
		const where = context.where === undefined ? undefined : oneLine(context.where);
		super(where === undefined ? said : `${said} (${where})`, { cause: context.cause });
		this.name = new.target.name;
		this.exitCode = exitCode;
		this.what = said;
		this.where = where;
		this.hint = context.hint === undefined ? undefined : oneLine(context.hint);
	}
}

/** Exit 2: the command line asks for something that is not there or cannot be. */
export class UsageError extends MmreplayError {
	constructor(what: string, context: ErrorContext = {}) {
		super(2, what, context);
	}
}

/** Exit 3: corrupt, truncated or unsupported input. */
export class BadInputError extends MmreplayError {
	constructor(what: string, context: ErrorContext = {}) {
		super(3, what, context);
	}
}

/** Exit 4: beyond a stated limit: a cap of the format, memory, disk space. */
export class LimitError extends MmreplayError {
	constructor(what: string, context: ErrorContext = {}) {
		super(4, what, context);
	}
}
