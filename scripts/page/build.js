// Bundles vendor.js, and the style sheet and licenses of what is in it, into onnxcost/render/assets/.
import {readFileSync, writeFileSync} from "node:fs";
import {build} from "esbuild";

const assets = new URL("../../onnxcost/render/assets/", import.meta.url).pathname;
const read = (path) => readFileSync(new URL(`node_modules/${path}`, import.meta.url), "utf8").trim();
const packages = ["echarts", "zrender", "tabulator-tables", "tslib"];
const versions = packages.map((name) => `${name} ${JSON.parse(read(`${name}/package.json`)).version}`).join(", ");
const style = read("tabulator-tables/dist/css/tabulator_simple.min.css").replace(/\/\*# sourceMappingURL.*\*\//, "");

await build({
  entryPoints: ["vendor.js"],
  bundle: true,
  minify: true,
  format: "iife",
  charset: "ascii",
  legalComments: "none",
  outfile: `${assets}vendor.js`,
  banner: {js: `/* ${versions}: see LICENSES.txt */`},
});
writeFileSync(`${assets}vendor.css`, `/* ${versions.split(", ")[2]}: see LICENSES.txt */\n${style}\n`);
const texts = {
  echarts: ["LICENSE", "NOTICE"],
  zrender: ["LICENSE"],
  "tabulator-tables": ["LICENSE"],
  tslib: ["LICENSE.txt"],
};
const licenses = packages.map(
  (name) => `==== ${name} ====\n\n${texts[name].map((file) => read(`${name}/${file}`)).join("\n\n")}\n`,
);
writeFileSync(`${assets}LICENSES.txt`, licenses.join("\n"));
