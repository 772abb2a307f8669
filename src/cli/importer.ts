// All that reads captures, in one module: loaded where a command is given one (scripts/bundles.mjs makes one file of it).
export { parseDevice } from "../import/devices.js";
export { readEventList } from "../import/eventlist.js";
export { missingLogs, readFolder } from "../import/folder.js";
export { importSources } from "../import/index.js";
export { parseOverlay } from "../import/overlay.js";
