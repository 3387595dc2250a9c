// An expert's card for the hub: README.md with the YAML head from which the hub builds its pages
// and the tree of a base's adapters.

import type { ExpertManifest } from '../manifest/manifest-fields.ts'

/** The card's name in a folder of the hub. */
export const cardFile = 'README.md'

export interface CardOptions {
  /** The base as the hub names it, where its name there is known. */
  readonly baseModel?: string | undefined
}

/** What the hub's list of licences knows of those that experts have; others are "other". */
const hubLicenses: ReadonlySet<string> = new Set(
  'apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear cc cc0-1.0 cc-by-2.0 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-sa-4.0 cc-by-nc-nd-4.0 cc-by-nd-4.0 cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc lppl-1.3c ms-pl mpl-2.0 odc-by odbl osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib pddl llama2 llama3 llama3.1 llama3.2 llama3.3 gemma'.split(
    ' ',
  ),
)

/** owner/name, or a name alone, as repositories of the hub are called. */
const isHubName = (text: string): boolean => /^[\w.-]{1,96}(\/[\w.-]{1,96})?$/.test(text)

/** The card's text; the same manifest gives the same text. */
export function formatModelCard(manifest: ExpertManifest, options: CardOptions = {}): string {
  return `---\n${formatHead(manifest, options)}---\n\n${formatBody(manifest, options)}`
}

/** Texts are written as JSON, which is YAML and leaves no room for other meanings. */
function formatHead(manifest: ExpertManifest, { baseModel }: CardOptions): string {
  const { license, data = [], tags = [] } = manifest
  const base = baseModel !== undefined && isHubName(baseModel) ? baseModel : undefined
  const kinds = typeof manifest.kind === 'string' ? [manifest.kind] : manifest.kind
  const datasets = data.flatMap(({ name = '' }) =>
    isHubName(name) && name.includes('/') ? name : [],
  )
  const allTags = [
    ...(base === undefined ? [] : [`base_model:adapter:${base}`]),
    ...kinds,
    'graft',
    ...tags,
  ]
  return [
    ...(base === undefined ? [] : [`base_model: ${quote(base)}`]),
    'base_model_relation: adapter',
    'library_name: peft',
    'pipeline_tag: text-generation',
    ...formatLicense(license),
    ...formatList('datasets', datasets),
    ...formatList('tags', [...new Set(allTags)]),
    ...formatResults(manifest),
  ]
    .map((line) => `${line}\n`)
    .join('')
}

const quote = (text: string): string => JSON.stringify(text)

const formatList = (key: string, texts: readonly string[]): string[] =>
  texts.length === 0 ? [] : [`${key}:`, ...texts.map((text) => `- ${quote(text)}`)]

function formatLicense(license: string | undefined): string[] {
  if (license === undefined) return []
  const known = license.toLowerCase()
  if (hubLicenses.has(known)) return [`license: ${known}`]
  return ['license: other', `license_name: ${quote(license)}`]
}

/** `model-index`: a result for each data set that was measured on, a metric for each score. */
function formatResults({ id, scores = {} }: ExpertManifest): string[] {
  const metrics = Object.entries(scores)
  if (metrics.length === 0) return []
  const groups = Map.groupBy(metrics, ([, { data = heldOut }]) => data)
  return [
    'model-index:',
    `- name: ${quote(id)}`,
    '  results:',
    ...[...groups].flatMap(([dataset, group]) => [
      '  - task:',
      '      type: text-generation',
      '    dataset:',
      `      name: ${quote(dataset)}`,
      `      type: ${quote(isHubName(dataset) && dataset.includes('/') ? dataset : 'custom')}`,
      '    metrics:',
      ...group.flatMap(([metric, { value = 0, low, high, rows }]) => [
        `    - type: ${quote(metric)}`,
        `      value: ${value}`,
        `      name: ${quote([metric, describeInterval(low, high), describeRows(rows)].filter(Boolean).join(', '))}`,
      ]),
    ]),
  ]
}

/** If the data of a score is unknown. */
const heldOut = 'rows that were held out'

const formatNumber = (value: number): string => String(Number(value.toPrecision(4)))

const describeInterval = (low: number | undefined, high: number | undefined): string =>
  low === undefined || high === undefined
    ? ''
    : `95 % interval ${formatNumber(low)} to ${formatNumber(high)}`

const describeRows = (rows: number | undefined): string =>
  rows === undefined ? '' : `${rows} rows`

function formatBody(manifest: ExpertManifest, { baseModel }: CardOptions): string {
  const { id, version, name = id, description, system, author, license, provenance = {} } = manifest
  const kind = typeof manifest.kind === 'string' ? manifest.kind : manifest.kind.join(' + ')
  const base = baseModel ?? manifest.base.id ?? 'its base'
  const facts = [
    ['Version', version],
    ['Kind', kind],
    ['Base', manifest.base.sha256 ? `${base} (sha256:${manifest.base.sha256})` : base],
    ['Author', author],
    ['Licence', license],
    ['Created', manifest.created],
    ['Made by', provenance.command && `\`${provenance.command.replaceAll('`', "'")}\``],
    ['Seed', provenance.seed?.toString()],
    ['Versions', formatVersions(provenance.versions)],
  ].flatMap(([label, value]) => (value === undefined ? [] : [`- ${label}: ${value}`]))
  return [
    `# ${escapeLine(name)}`,
    ...(description === undefined ? [] : [description]),
    facts.join('\n'),
    `## Use\n\nWith [Graft](https://www.npmjs.com/package/graftlm):\n\n    graft experts add ${id} --from <where it is published>\n    graft run "…" --adapter ${id}\n\nWith PEFT: \`PeftModel.from_pretrained(base, "<this folder>")\`.`,
    ...(system === undefined
      ? []
      : [`It was trained with the system message\n\n${indent(system)}`]),
    ...formatScores(manifest),
    ...formatData(manifest),
  ]
    .map((part) => `${part}\n`)
    .join('\n')
}

const formatVersions = (versions: Readonly<Record<string, string>> | undefined) =>
  versions &&
  Object.entries(versions)
    .map(([name, version]) => `${name} ${version}`)
    .join(', ')

const escapeLine = (text: string): string => text.replace(/\s+/g, ' ')
const indent = (text: string): string => text.replace(/^/gm, '    ')
const toCell = (text: string): string => escapeLine(text).replaceAll('|', '\\|')

function formatScores({ scores = {} }: ExpertManifest): string[] {
  const rows = Object.entries(scores).map(
    ([metric, { value = 0, low, high, rows: count, data }]) => {
      const interval =
        low === undefined || high === undefined
          ? ''
          : `${formatNumber(low)} to ${formatNumber(high)}`
      const cells = [toCell(metric), formatNumber(value), interval, count ?? '', toCell(data ?? '')]
      return `| ${cells.join(' | ')} |`
    },
  )
  if (rows.length === 0) return []
  const head = '| metric | value | 95 % interval | rows | data |\n|-|-|-|-|-|'
  return [`## Scores\n\n${head}\n${rows.join('\n')}`]
}

function formatData({ data = [] }: ExpertManifest): string[] {
  const rows = data.map(
    ({ name = '', rows: count = '', license = '', sha256 = '' }) =>
      `| ${toCell(name)} | ${count} | ${toCell(license)} | ${sha256} |`,
  )
  if (rows.length === 0) return []
  return [`## Training data\n\n| name | rows | licence | SHA-256 |\n|-|-|-|-|\n${rows.join('\n')}`]
}
