// The script of a report: built into dist/page/report.js, and put into the page.
import { enliven, openForPrint, schemeSwitch } from "./enliven.js";

enliven(document);
schemeSwitch();
openForPrint();
