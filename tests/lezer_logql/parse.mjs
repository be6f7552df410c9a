// Reads a JSON list of LogQL expressions, writes for each one the texts at which the grammar finds an error.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { parser } = createRequire(`${process.argv[2]}/`)("@grafana/lezer-logql");

const faults = JSON.parse(readFileSync(0, "utf8")).map((expression) => {
  const found = [];
  parser.parse(expression).iterate({
    enter(node) {
      if (node.type.isError) found.push(expression.slice(node.from, node.from + 40));
    },
  });
  return found;
});
process.stdout.write(JSON.stringify(faults));
