// LogQL queries in (a JSON list on stdin), what Grafana's grammar makes of each out: [{query, error, filters, labels}].
import { parser } from "@grafana/lezer-logql";
import { readFileSync } from "node:fs";

function taken(query) {
  const nodes = [];
  parser.parse(query).iterate({
    enter: (node) => {
      nodes.push({ name: node.type.name, error: node.type.isError, text: query.slice(node.from, node.to) });
    },
  });
  return nodes;
}

const answers = JSON.parse(readFileSync(0, "utf8")).map((query) => {
  const nodes = taken(query);
  const wrong = nodes.find((node) => node.error);
  const texts = (name) => nodes.filter((node) => node.name === name).map((node) => node.text);
  return {
    query,
    error: wrong ? `not understood at "${wrong.text}"` : null,
    selector: texts("Selector")[0] ?? null,
    filters: texts("LineFilter"),
    labels: texts("LabelFilter"),
    nodes: nodes.map((node) => node.name),
  };
});
console.log(JSON.stringify(answers));
