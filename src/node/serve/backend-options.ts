// The options of a server whose answers are computed by another server: its address, its key, and
// the shared folder for adapters. Options without effect are refused by name.

import { OptionError } from '../../base/errors.ts'
import { oneOf, type OptionFields, string } from '../../base/schema.ts'
import { engineFields } from '../../runtime/engine/engine-options.ts'

export interface ServeBackendOptions {
  /** The backend. Default 'graft': this program. */
  readonly backend?: 'graft' | 'vllm' | undefined
  /** Of the vLLM server: `http://127.0.0.1:8000`. Its key: VLLM_API_KEY. */
  readonly url?: string | undefined
  /** A folder that the other machines see under the same path. */
  readonly shared?: string | undefined
}

export const backendFields = {
  backend: oneOf(['graft', 'vllm'], {
    default: 'graft',
    about: 'what computes the answers: this program, or a vLLM server',
  }),
  url: string({
    filled: true,
    about: 'of the vLLM server, as in http://127.0.0.1:8000; its key: VLLM_API_KEY',
  }),
  shared: string({
    filled: true,
    about: 'folder for adapters that vLLM sees under the same path (default: in the cache)',
  }),
} satisfies OptionFields<ServeBackendOptions>

/** Plain values, so that they reach a worker. */
export interface VllmTask {
  readonly url: string
  readonly key: string | undefined
  readonly shared: string | undefined
}

/** Options that say how this program computes. */
const ownOptions = [
  'maxRows',
  'kvBytes',
  'kvElement',
  'expertBytes',
  'maxWaitMs',
  'promptProducts',
  'speculate',
  'pieceTokens',
  'cold',
  'prefixFolder',
  'ropeScaling',
] as const

/** Whether an option was really given: a command line fills in defaults. */
function isTyped(name: string, value: unknown): boolean {
  const field: { readonly default?: unknown } | undefined =
    engineFields[name as keyof typeof engineFields]
  return value !== undefined && value !== false && value !== field?.default
}

type Given = ServeBackendOptions & Readonly<Partial<Record<string, unknown>>>

/**
 * The beginning of errors, and the names of options in them, for programs and for command lines.
 */
export interface OptionNaming {
  readonly prefix: string
  toName(option: string): string
}

const programNaming: OptionNaming = { prefix: 'Server options: ', toName: (option) => option }

/** Of the command line: maxRows is --max-rows. */
export const commandNaming: OptionNaming = {
  prefix: '',
  toName: (option) => `--${option.replaceAll(/[A-Z]/g, (one) => `-${one.toLowerCase()}`)}`,
}

/**
 * Where answers are computed; undefined: here. Throws OptionError for a backend without an address,
 * an address without a backend, and for options that would be without effect.
 */
export function toVllmTask(
  options: object,
  environment: Readonly<Record<string, string | undefined>>,
  { prefix, toName }: OptionNaming = programNaming,
): VllmTask | undefined {
  const given = options as Given
  const { backend = 'graft', url, shared } = given
  if (backend === 'graft') {
    const stray = (['url', 'shared'] as const).find((name) => given[name] !== undefined)
    if (stray === undefined) return undefined
    throw new OptionError(
      `${prefix}${toName(stray)} is for backend "vllm". Give ${toName('backend')}, too.`,
    )
  }
  if (url === undefined || !URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
    throw new OptionError(
      `${prefix}${toName('url')}: got ${url === undefined ? 'nothing' : JSON.stringify(url)}, expected the address of the vLLM server, such as "http://127.0.0.1:8000".`,
    )
  if (given['learn'] === true || given['users'] !== undefined)
    throw new OptionError(
      `${prefix}${toName('learn')}: the head, layer, memory and slow tiers learn from hidden states and gradients, which vLLM does not give: they are off with backend "vllm". Leave ${toName('learn')} and ${toName('users')} out, or serve without ${toName('backend')}.`,
    )
  const without = ownOptions.filter((name) => isTyped(name, given[name]))
  if (without.length > 0)
    throw new OptionError(
      `${prefix}${without.map(toName).join(', ')}: without effect, because vLLM computes the answers. Give vLLM's own options when it starts.`,
    )
  return { url, key: environment['VLLM_API_KEY'], shared }
}
