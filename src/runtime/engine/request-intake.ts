// Accepts requests: checks each one, finds its expert, and creates its sequence. Nothing is queued
// here. Independent of rows and programs.

import { findActivationStart } from '../../adapters/activation.ts'
import type { Expert } from '../../adapters/index.ts'
import { OptionError } from '../../base/errors.ts'
import { readOptions, withInfo, positiveInteger } from '../../base/schema.ts'
import type { ModelConfig } from '../../graph/model-config.ts'
import type { AnswerWriting } from './answer.ts'
import { type GivenExpert, resolveExpert } from './compose/resolve-expert.ts'
import { CopyGroup } from './copy-group.ts'
import { createDrafters } from './drafts/drafter-table.ts'
import { Speculation } from './drafts/speculation.ts'
import { checkCopies, checkPromptIds, checkStage } from './engine-checks.ts'
import { type GenerateOptions, requestFields } from './generate-options.ts'
import { BlockKeyChain } from './kv/block-keys.ts'
import { BLOCK_SIZE, type KvElement } from './kv/kv-types.ts'
import type { AdapterPool } from './pool/adapter-pool.ts'
import type { GrammarChoice } from '../../formats/grammar/grammar-choice.ts'
import type { PromptProducts } from '../programs/step/step-graph.ts'
import type { GrammarHost } from '../grammar/grammar-host.ts'
import { PromptScores } from './prompt-scores.ts'
import { createServedSequence, type ServedSequence } from './request.ts'

/** A request for ids; `adapter` may also name registered experts: 'coder:0.7+security:0.3'. */
export interface EngineRequest extends Omit<GenerateOptions, 'adapter'> {
  readonly prompt: readonly number[]
  readonly adapter?: GivenExpert | undefined
  /** Added to the seed: the row of a batch. Default 0. */
  readonly index?: number | undefined
}

/** How prefixes are cached. */
interface PrefixForm {
  readonly element: KvElement
  readonly products: PromptProducts
  /** Whether they outlive the process. */
  readonly areSaved: boolean
}

export interface RequestIntakeParts {
  readonly config: ModelConfig
  readonly contextTokens: number
  readonly writing: (expert: Expert | undefined) => AnswerWriting
  readonly pool: AdapterPool
  readonly baseName: string
  /** Computes which tokens grammars allow; without it the option grammar is refused. */
  readonly grammars: GrammarHost | undefined
  readonly identity: () => Promise<string>
  readonly now: () => number
  readonly pieceTokens: number
  /** Blocks of keys and values that the engine has. */
  readonly blocks: number
  readonly prefixes: PrefixForm
  /** Whether requests speculate by default. */
  readonly speculate: boolean
}

export class RequestIntake {
  readonly #parts: RequestIntakeParts
  #count = 0

  constructor(parts: RequestIntakeParts) {
    this.#parts = parts
  }

  /** The sequence of a request. Throws what Engine.add throws. */
  async read(request: EngineRequest): Promise<ServedSequence> {
    const [only] = await this.readCopies(request, 1)
    return only!
  }

  /** `count` sequences of one request; number i draws with its seed + i. */
  async readCopies(request: EngineRequest, count: number): Promise<readonly ServedSequence[]> {
    readOptions('addCopies', { count }, { count: withInfo(positiveInteger, {}) })
    const { config, contextTokens, writing, now } = this.#parts
    const { prompt, adapter, index, ...given } = readOptions(
      'Generation options',
      request,
      requestFields,
    )
    // With dynamic RoPE scaling, a token's keys depend on the sequence's length at their
    // computation.
    const isDynamic = config.rope.main.scaling?.type === 'dynamic'
    const settings = { ...given, cache: given.cache && !isDynamic }
    checkStage(settings)
    checkPromptIds(prompt, config)
    if (count > 1) checkCopies(settings)
    const { handle, stages, described } = await resolveExpert(adapter, this.#parts)
    const virtualIds = Array.from({ length: handle?.virtualTokens ?? 0 }, (_, i) => -1 - i)
    const activeFrom = handle?.invocation
      ? virtualIds.length + findActivationStart(prompt, handle.invocation)
      : 0
    const keys = await this.#describeKeys(settings, handle?.key)
    const { tokenizer, eosIds } = writing(described)
    const { promptLogprobs } = settings
    const scores =
      promptLogprobs === undefined ? undefined : new PromptScores(prompt, promptLogprobs)
    const copies = count > 1 ? new CopyGroup<ServedSequence>() : undefined
    const who = { handle, stages, virtualIds, activeFrom }
    // No speculation if the expert changes between tokens, if keys depend on the sequence's length,
    // or if the states between two tokens of a call are not known.
    const isPlain = !isDynamic && !stages && config.recurrence === undefined
    const speculates = (settings.speculate ?? this.#parts.speculate) && isPlain
    const shared = { prompt, settings, scores, copies, now: now() }
    const tasks = Array.from({ length: count }, (_, i) => {
      const own = {
        index: index + i,
        id: this.#count + i,
        chain: new BlockKeyChain(keys),
        speculation: speculates ? createSpeculation(settings) : undefined,
      }
      return createServedSequence(
        { ...shared, ...who, ...own },
        { tokenizer, eosIds, contextTokens },
      )
    })
    copies?.members.push(...tasks)
    this.#count += count
    // One sequence must fit alone, or it would wait forever.
    if (countNeededBlocks(tasks[0]!) > this.#parts.blocks) throw this.createLackError(tasks[0]!)
    if (settings.grammar) await this.#holdAnswers(tasks, settings.grammar, tokenizer)
    return tasks
  }

  /** Opens a grammar matcher for each answer that has tokens to generate. */
  async #holdAnswers(
    tasks: readonly ServedSequence[],
    grammar: GrammarChoice,
    tokenizer: AnswerWriting['tokenizer'],
  ): Promise<void> {
    const { minTokens, keepTokens, maxTokens } = tasks[0]!.settings
    if (maxTokens === 0) return
    const { grammars: host, config } = this.#parts
    const parts = { host, tokenizer, vocabularySize: config.vocabularySize }
    // loaded with the first grammar, because it would be a tenth of what a server loads at its
    // start
    const { openMatchers } = await import('../grammar/open-matchers.ts')
    const matchers = await openMatchers({ grammar, minTokens, keepTokens }, parts, tasks.length)
    tasks.forEach(({ answer }, i) => void (answer.grammar = matchers[i]))
  }

  /** The error for a sequence that gets no row although nothing else runs. */
  createLackError(task: ServedSequence): OptionError {
    return new OptionError(
      `A sequence of ${task.tokens.length} tokens needs ${countNeededBlocks(task)} blocks of keys and values; the engine has ${this.#parts.blocks}. Raise kvBytes.`,
    )
  }

  async #describeKeys(
    { tenant, exact }: Pick<ServedSequence['settings'], 'tenant' | 'exact'>,
    expert = '',
  ): Promise<ConstructorParameters<typeof BlockKeyChain>[0]> {
    const { identity, pieceTokens, prefixes } = this.#parts
    return {
      // Blocks in memory belong to one base, but a folder of saved blocks may serve several.
      base: prefixes.areSaved ? await identity() : '',
      expert,
      tenant,
      accuracy: exact ? 'exact' : prefixes.products === 'int8' ? 'fast, int8' : 'fast',
      pieceSize: pieceTokens,
      element: prefixes.element,
    }
  }
}

/** Undefined if the stage takes one token at a time. */
const createSpeculation = ({
  stage,
  exact,
}: ServedSequence['settings']): Speculation | undefined =>
  stage && !stage.stage.dropRows
    ? undefined
    : new Speculation(createDrafters(stage), exact ? 'exact' : 'fast')

/** Includes one token of the answer. */
const countNeededBlocks = ({ tokens, settings: { maxTokens } }: ServedSequence): number =>
  Math.ceil((tokens.length + Math.min(1, maxTokens)) / BLOCK_SIZE)
