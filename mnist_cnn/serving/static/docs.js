"use strict";
/* Shows openapi.json as a page. Swagger's page would load its scripts from another server. */

const make = (name, text, ...children) => {
  const element = document.createElement(name);
  if (text) element.textContent = text;
  element.append(...children);
  return element;
};

function describe(schema, all, depth = 0) {
  if (schema.$ref) return describe(all[schema.$ref.split("/").pop()], all, depth);
  if (schema.format === "binary") return "the picture's bytes";
  const indent = "  ".repeat(depth + 1), either = schema.oneOf || schema.anyOf;
  const note = schema.description ? `   ${schema.description}` : "";
  if (either) return either.map((one) => describe(one, all, depth)).join(" or ") + note;
  if (schema.enum) return schema.enum.join(" or ") + note;
  if (schema.type === "array") return `[${describe(schema.items, all, depth)}, …]${note}`;
  if (!schema.properties) return (schema.type || "anything") + note;
  const lines = Object.entries(schema.properties)
    .map(([name, one]) => `${indent}"${name}": ${describe(one, all, depth + 1)}`);
  return `{\n${lines.join("\n")}\n${"  ".repeat(depth)}}`;
}

function show(spec) {
  const all = spec.components.schemas;
  for (const [path, methods] of Object.entries(spec.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const section = make("section", "", make("h2", `${method.toUpperCase()} ${path}`),
        make("p", operation.description || ""));
      for (const [type, { schema }] of Object.entries(operation.requestBody?.content || {})) {
        section.append(make("h3", `Body, ${type}`), make("pre", describe(schema, all)));
      }
      const rows = make("table", "");
      for (const [status, response] of Object.entries(operation.responses)) {
        const schema = Object.values(response.content || {})[0]?.schema;
        if (status === "200") section.append(make("h3", "Answer"), make("pre", describe(schema, all)));
        else rows.append(make("tr", "", make("td", status), make("td", response.description)));
      }
      if (rows.children.length) section.append(make("h3", "Refusals, as {\"detail\": \"one line\"}"), rows);
      document.getElementById("paths").append(section);
    }
  }
}

for (const host of document.querySelectorAll(".host")) host.textContent = location.host;
fetch("/openapi.json").then((response) => response.json()).then(show);
