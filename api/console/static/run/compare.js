// The run beside another one.
import { call, useRead } from "../api.js";
import { brief, html, Table, typed, useState, Wrong } from "../words.js";

export function Compare({ record }) {
  const [other, choose] = useState("");
  const [told, wrong] = useRead(async () => other && { other, ...await call(`runs/${record.run_id}/diff/${encodeURIComponent(other)}`) }, other);
  const { same, differences = [] } = told?.other === other ? told : {};
  return html`<label>Another run <input placeholder="its id" onChange=${typed(choose)} /></label><${Wrong} problem=${wrong} />${same && " Nothing differs."}
    ${differences[0] && html`<${Table} caption="What differs" head=${["What", "Where", "Place", "This run", "The other"]}
      rows=${differences.map(one => [one.what, one.where, one.path, brief([one.first]), brief([one.second])])} />`}`;
}
