// What the grammars of a capture find, in its order: items (causes with begin, commit and end) and observations; and the place that is being read.
import type { CapturedVm } from "./host.js";
import type { BracketItem, InstantItem, Item, ObservedItem } from "./items.js";
import type { Places } from "./places.js";

export class Timeline {
	readonly items: Item[] = [];
	readonly observed: ObservedItem[] = [];
	/** Number of the event being read. */
	at = -1;
	/** There are logs of the accesses, which want to know more of the beginning. */
	readonly logged: boolean;
	readonly #places: Places;

	constructor(places: Places, logged: boolean) {
		this.#places = places;
		this.logged = logged;
	}

	observe(name: ObservedItem["name"], vm: CapturedVm | null, vcpu: number, page: number, args: number[]): ObservedItem {
		const item = { at: this.at, name, vm, vcpu, page, args, dropped: false };
		this.observed.push(item);
		return item;
	}

	/** KVM's own work, which may turn out to be the end of the VM. */
	tentative(item: ObservedItem): void {
		if (this.logged || item.vm === null) return;
		if (item.vm.ended) item.dropped = true;
		else item.vm.tentative.push(item);
	}

	/** An operation begins or ends here. */
	edge(): void {
		this.#places.edge();
	}

	/** As `edge`: a VM is at work, so that what KVM did before was work as well. */
	works(vm: CapturedVm): void {
		this.#places.edge();
		vm.tentative.length = 0;
	}

	/** Something without an extent happens here. */
	instant(name: InstantItem["name"], vm: CapturedVm | null, page: number, args: number[], text?: string): InstantItem {
		const item: InstantItem = {
			kind: "instant",
			name,
			vm,
			page,
			args,
			begin: this.at,
			pending: 0,
			...(text === undefined ? {} : { text }),
		};
		this.items.push(item);
		this.#places.edge();
		return item;
	}

	end(item: BracketItem): void {
		item.end = this.at;
		if (item.hit) this.works(item.vm);
	}
}
