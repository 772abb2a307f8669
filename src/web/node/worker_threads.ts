// node:worker_threads for a browser's worker, which replays what is in its memory: nothing starts a thread of its own.

export class Worker {
	constructor() {
		throw new Error("no threads in a browser");
	}
}

export class MessageChannel {
	constructor() {
		throw new Error("no threads in a browser");
	}
}

export function receiveMessageOnPort(): undefined {
	return undefined;
}
