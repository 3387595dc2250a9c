// The service of graft serve over a vLLM server: everything except what needs hidden states. First
// checks that the server runs the same base.

import { MismatchError, OptionError } from '../../base/errors.ts'
import type { Tokenizer } from '../../formats/text/tokenizer.ts'
import { createService, type ServiceOptions } from '../local/create-service.ts'
import { RequestError } from '../request-error.ts'
import type { Service } from '../service.ts'
import type { VllmClient, VllmModel } from './vllm-client.ts'

/** The base of a vLLM server. Throws OptionError if it lists none. */
export async function findVllmBase({
  listModels,
  place,
}: Pick<VllmClient, 'listModels' | 'place'>): Promise<VllmModel> {
  const base = (await listModels()).find(({ parent }) => parent === undefined)
  if (base) return base
  throw new OptionError(`The vLLM server at ${place} lists no model at /v1/models.`)
}

/** A text with words, digits, signs, spaces and letters beyond ASCII. */
const sampleText = 'The 27 quick (brown) foxes — été, naïve; 北京…\n\t{"a": [1, 2]}'

/**
 * Throws MismatchError if the server tokenizes a text differently from the base, because it then
 * has another base. Returns false if it has no route for that.
 */
export async function checkVllmTokens(
  client: Pick<VllmClient, 'tokenize' | 'place'>,
  { id, root }: VllmModel,
  { name, tokenizer }: { readonly name: string; readonly tokenizer?: Tokenizer | undefined },
): Promise<boolean> {
  const got = await client.tokenize(id, sampleText)
  if (!got || !tokenizer) return false
  const expected = tokenizer.encode(sampleText, { addSpecialTokens: false })
  if (got.join() === expected.join()) return true
  throw new MismatchError(
    `The vLLM server at ${client.place} serves another base than ${name}`,
    [{ name: 'tokens of a sample text', got: got.join(' '), expected: expected.join(' ') }],
    `It was started with ${root ?? id}: name that base, as in graft serve ${root ?? id} --backend vllm.`,
  )
}

/** A service whose engine is a vLLM server. */
export async function createVllmService(options: ServiceOptions): Promise<Service> {
  const service = await createService(options)
  return Object.assign(service, {
    async embed(): Promise<never> {
      throw new RequestError(
        'Embeddings are means of hidden states, which vLLM does not give with completions. Serve them without --backend, or by vLLM with --task embed.',
        { code: 'not_supported' },
      )
    },
  })
}
