// Variants of the built-in machines: `zen3:psc=true:flush=ranged` wherever a machine is named, as strategies have them.
import { UsageError } from "../errors.js";
import type { FlushScope, GuestPageSize, Machine, Psc } from "./machine.js";
import { MACHINES } from "./presets.js";

const OPTIONS: Readonly<Record<string, (machine: Machine) => Machine>> = {
	"psc=true": (machine) => withPsc(machine, true),
	"psc=false": (machine) => withPsc(machine, false),
	"flush=all": (machine) => withFlush(machine, "all"),
	"flush=ranged": (machine) => withFlush(machine, "ranged"),
	"guestPageSize=host": (machine) => withGuestPages(machine, "host"),
	"guestPageSize=4k": (machine) => withGuestPages(machine, "4k"),
	"guestPageSize=2m": (machine) => withGuestPages(machine, "2m"),
};

const NO_LEVELS = { level2: 0, level3: 0, level4: 0, level5: 0 };

function withPsc(machine: Machine, used: boolean): Machine {
	const psc: Psc = machine.psc ?? { used, linear: NO_LEVELS, nested: NO_LEVELS };
	return { ...machine, psc: { ...psc, used } };
}

function withFlush(machine: Machine, guest: FlushScope["guest"]): Machine {
	return { ...machine, flush: { hostPages: machine.flush?.hostPages ?? 1, guest } };
}

function withGuestPages(machine: Machine, guestPageSize: GuestPageSize): Machine {
	return { ...machine, guestPageSize };
}

/** A built-in machine by name, or a variant of one; undefined if there is none. @throws UsageError on an unknown option */
export function findMachine(name: string): Machine | undefined {
	const [base, ...options] = name.split(":");
	const found = MACHINES.find((machine) => machine.name === base);
	if (found === undefined || options.length === 0) return found;
	const varied = options.reduce((machine, option) => {
		const vary = OPTIONS[option];
		if (vary !== undefined) return vary(machine);
		throw new UsageError(`unknown machine option ${option}`, { hint: `the options are ${Object.keys(OPTIONS).join(", ")}` });
	}, found);
	return { ...varied, name };
}
