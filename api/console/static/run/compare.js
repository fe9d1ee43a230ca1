// The run beside another one.
import { useState } from "../vendor/hooks.mjs";
import { call } from "../api.js";
import { brief, html, Table, Wrong } from "../words.js";

export function Compare({ record }) {
  const [found, show] = useState({});
  const compare = ({ target: { value } }) => call(`runs/${record.run_id}/diff/${encodeURIComponent(value)}`).then(show, (problem) => show({ problem }));
  return html`<label>Another run <input placeholder="its id" onChange=${compare} /></label><${Wrong} problem=${found.problem} />${found.same && " Nothing differs."}
    ${found.differences?.[0] && html`<${Table} caption="What differs" head=${["What", "Where", "Place", "This run", "The other"]}
      rows=${found.differences.map((one) => [one.what, one.where, one.path, brief([one.first]), brief([one.second])])} />`}`;
}
