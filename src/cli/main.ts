// The command line: picks the command, loads its code and nothing else, and turns whatever goes wrong into one line and an exit status.
import { Command, CommanderError } from "commander";
import { LimitError, MmreplayError, UsageError } from "../errors.js";
import { COMMANDS, type CommandEntry } from "./commands.js";
import { collectBeforeExit } from "./ending.js";
import { writeError, writeOut } from "./output.js";
import { didYouMean } from "./suggest.js";
import { version } from "./version.js";

const DEFECT = 70;

/** Commander's words in our form. */
function usageError(error: CommanderError, where: string): UsageError {
	const [first = "", ...rest] = error.message.replace(/^error: /, "").split("\n");
	const meant = /\(Did you mean (?:one of )?(.*?)\?\)/.exec(rest.join(" "))?.[1];
	const help = `mmreplay ${where === "mmreplay" ? "" : `${where} `}--help lists what there is`;
	const what = first.replace(/^unknown option '(.*)'$/, "unknown option $1").replace(/\.$/, "");
	return new UsageError(what, { where, hint: meant === undefined ? help : `did you mean ${meant}? ${help}` });
}

/** Errors come back as exceptions; help goes where data goes. */
function quietly(command: Command): Command {
	return command
		.exitOverride()
		.configureOutput({ writeOut, writeErr: () => undefined })
		.helpOption("-h, --help", "show this help")
		.allowExcessArguments(false)
		.showSuggestionAfterError(true);
}

function programOf(): Command {
	return quietly(new Command("mmreplay"))
		.description("Replays captured KVM/KSM traces under several mmu notifier strategies and compares them.")
		.version(version(), "-V, --version", "show the version")
		.helpCommand("help [command]", "show the help of a command");
}

function unknownCommand(name: string): UsageError {
	const names = COMMANDS.map((entry) => entry.name);
	return new UsageError(`unknown command ${name}`, {
		where: "mmreplay",
		hint: didYouMean(name, names, "mmreplay --help lists the commands"),
	});
}

async function withCommand(program: Command, entry: CommandEntry): Promise<Command> {
	const command = quietly(program.command(entry.name).description(entry.summary));
	const { define } = await entry.load();
	define(command);
	return command;
}

/** The status to end with. A command that has something to say beyond success or an error sets process.exitCode itself. */
async function run(argv: readonly string[]): Promise<void> {
	const program = programOf();
	const helped = argv[0] === "help" ? argv[1] : undefined;
	const name = helped ?? argv.find((argument) => !argument.startsWith("-"));
	const entry = COMMANDS.find((candidate) => candidate.name === name);
	if (entry !== undefined && (helped !== undefined || argv[0] === name)) {
		await withCommand(program, entry);
	} else if (name !== undefined && name !== "help" && !argv[0]?.startsWith("-")) {
		throw unknownCommand(name);
	} else {
		for (const { name: listed, summary } of COMMANDS) quietly(program.command(listed).description(summary));
	}
	if (argv.length === 0) {
		program.outputHelp();
		return;
	}
	const where = entry !== undefined && argv[0] === entry.name ? entry.name : "mmreplay";
	try {
		await program.parseAsync([...argv], { from: "user" });
	} catch (error) {
		if (!(error instanceof CommanderError)) throw error;
		if (error.exitCode !== 0) throw usageError(error, where);
	}
}

function isSystemError(error: unknown, code: string): boolean {
	return error instanceof Error && "code" in error && error.code === code;
}

/** Say what went wrong; the exit status that it means. */
function report(error: unknown): number {
	// A closed pipe ends quietly.
	if (isSystemError(error, "EPIPE")) return 0;
	if (isSystemError(error, "ENOSPC")) return report(new LimitError("no room left for the output", { where: "standard output" }));
	const debug = (process.env.MMREPLAY_DEBUG ?? "") === "1";
	if (error instanceof MmreplayError) {
		writeError(`mmreplay: error: ${error.message}`);
		if (error.hint !== undefined) writeError(`hint: ${error.hint}`);
	} else {
		const what = error instanceof Error ? `${error.name}: ${error.message.split("\n")[0] ?? ""}` : String(error);
		writeError(`mmreplay: error: a defect of mmreplay's own: ${what} (mmreplay ${version()})`);
		writeError("hint: MMREPLAY_DEBUG=1 shows where it happened; please report it with the command");
	}
	if (debug && error instanceof Error) {
		writeError(error.stack ?? "");
		if (error.cause instanceof Error) writeError(`caused by ${error.cause.stack ?? ""}`);
	}
	return error instanceof MmreplayError ? error.exitCode : DEFECT;
}

try {
	await run(process.argv.slice(2));
} catch (error) {
	process.exitCode = report(error);
} finally {
	collectBeforeExit();
}
