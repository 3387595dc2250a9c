// The router "classifier": the base itself, with a LoRA that makes it answer with one token, that
// of the right expert. The most exact kind if experts differ by meaning, and the slowest: it costs
// a pass over the prompt.

import { FormatError, OptionError } from '../../base/errors.ts'
import { integer, isRecord, number, type OptionValues } from '../../base/schema.ts'
import type { Adapter } from '../../adapters/adapter.ts'
import { f32, type F32Tensor } from '../../base/tensor.ts'
import { computeServedIdentity } from '../../graph/model-identity.ts'
import type { Model } from '../../runtime/model.ts'
import {
  computeConfidence,
  fitCalibration,
  type JudgedScores,
} from '../calibration/fit-calibration.ts'
import {
  computeSoftmax,
  decideForBase,
  makeDecision,
  rankExperts,
  uncalibrated,
} from '../calibration/make-decision.ts'
import { encodeExamples, trainClassifier } from '../classifier/classifier-training.ts'
import { chooseLabels, encodePrompt } from '../classifier/label-tokens.ts'
import { readIntegers, readNumbers, writeIntegers, writeNumbers } from '../features/number-array.ts'
import { type RouterFile, routerFileVersion } from '../router-file.ts'
import type { RouteDecision, Router, RouteRequest, RouterKind, RouterParts } from '../router.ts'
import {
  calibrationOptionFields,
  describeExperts,
  prepareTraining,
} from '../training/training-set.ts'
import { findPlainRefusal } from '../training/vector-router.ts'

const fields = {
  rank: integer({ from: 1, default: 8, about: 'Rank of the LoRA on every linear layer.' }),
  epochs: integer({ from: 1, default: 3, about: 'Times that every prompt is met.' }),
  learningRate: number({ above: 0, default: 5e-4, about: 'Of AdamW, at its highest.' }),
  maxTokens: integer({ from: 8, default: 128, about: 'Tokens that are read of a prompt.' }),
  ...calibrationOptionFields,
}

/** What decides. */
interface Classifier {
  readonly file: RouterFile
  readonly model: Model
  readonly adapter: Adapter
  readonly labels: Int32Array
  readonly maxTokens: number
}

/** Logits of the experts' tokens behind a prompt. */
async function scorePrompt(
  { model, adapter, labels, maxTokens }: Omit<Classifier, 'file'>,
  text: string,
): Promise<Float64Array> {
  const ids = encodePrompt(model.base.tokenizer!, text, maxTokens)
  const [logits] = await model.nextLogits([ids], 'fast', { adapter })
  return Float64Array.from(labels, (id) => logits![id]!)
}

class ClassifierRouter implements Router {
  readonly kind = 'classifier'
  readonly experts: readonly string[]
  readonly #made: Classifier

  constructor(made: Classifier) {
    this.experts = made.file.experts.map(({ name }) => name)
    this.#made = made
  }

  async decide({ text }: RouteRequest, signal?: AbortSignal): Promise<RouteDecision> {
    signal?.throwIfAborted()
    const refusal = findPlainRefusal(text)
    if (refusal !== undefined) return decideForBase(refusal)
    const logits = await scorePrompt(this.#made, text)
    signal?.throwIfAborted()
    const { calibration = uncalibrated } = this.#made.file
    const scores = rankExperts(this.experts, computeSoftmax(logits, calibration.temperature))
    const [best, next] = scores
    const confidence = computeConfidence(logits, calibration)
    const because = `the base answers with its token at ${(best!.score * 100).toFixed(1)} %${next ? `, and at ${(next.score * 100).toFixed(1)} % with that of ${next.expert}` : ''}`
    return makeDecision({ scores, confidence, calibration, because })
  }

  save(): RouterFile {
    return this.#made.file
  }
}

/** Throws OptionError if there is no model that takes texts. */
function getModel({ model }: RouterParts): Model {
  if (model?.base.tokenizer) return model
  throw new OptionError(
    'Router "classifier" needs a base with a tokenizer: give createRouter a model.',
  )
}

const saveAdapter = ({ kind, config, tensors }: Adapter): Readonly<Record<string, unknown>> => ({
  kind,
  config,
  tensors: Object.fromEntries(
    [...tensors].map(([key, { data, shape }]) => [
      key,
      writeNumbers(data as Float32Array, shape, 'f16'),
    ]),
  ),
})

/** Throws FormatError for what `saveAdapter` did not write. */
function readAdapter(saved: unknown): Adapter {
  if (!isRecord(saved) || saved['kind'] !== 'lora' || !isRecord(saved['config']))
    throw new FormatError('Router "classifier": state.adapter: expected a LoRA.')
  const { config, tensors } = saved
  if (!isRecord(tensors))
    throw new FormatError('Router "classifier": state.adapter.tensors: expected tensors by name.')
  const read = Object.entries(tensors).map(([key, value]): [string, F32Tensor] => {
    const { data, shape } = readNumbers(value, 2, `state.adapter.tensors.${key}`)
    return [key, f32(shape, data)]
  })
  return { kind: 'lora', config, tensors: new Map(read) } as unknown as Adapter
}

export const classifier: RouterKind = {
  kind: 'classifier',
  about: 'the base with a LoRA that answers with the expert’s token; exact and slow',
  needs: ['model'],
  fields,
  async train(training, given, parts) {
    const options = given as OptionValues<typeof fields>
    const model = getModel(parts)
    const { experts, names, fitted, held } = prepareTraining(
      training,
      'classifier',
      options.holdOut ?? 0.1,
    )
    const { maxTokens } = options
    const labels = chooseLabels(model.base.tokenizer!, names.length)
    const inScope = fitted.filter(({ expert }) => expert >= 0)
    const data = encodeExamples(model, inScope, labels, maxTokens)
    const settings = Object.assign({ seed: training.seed }, options)
    const adapter = await trainClassifier(model, data, settings)
    const judged: JudgedScores[] = []
    for (const { text, expert } of [...held, ...fitted.filter((one) => one.expert < 0)]) {
      const logits = await scorePrompt({ model, adapter, labels, maxTokens }, text)
      judged.push({ logits, right: expert < 0 ? undefined : expert })
    }
    const file: RouterFile = {
      format: 'graft-router',
      version: routerFileVersion,
      kind: 'classifier',
      experts: describeExperts(experts),
      calibration: fitCalibration(judged, options),
      options: given,
      trained: { rows: inScope.length, held: judged.length, seed: training.seed },
      state: {
        base: await computeServedIdentity(model.base),
        labels: writeIntegers(labels),
        maxTokens,
        adapter: saveAdapter(adapter),
      },
    }
    return new ClassifierRouter({ file, model, adapter, labels, maxTokens })
  },
  async load(file, parts) {
    const model = getModel(parts)
    if (file.state['base'] !== (await computeServedIdentity(model.base)))
      throw new FormatError(
        'Router "classifier": it was trained on another base. Load it with its own base.',
      )
    const labels = readIntegers(file.state['labels'], 'Router "classifier": state.labels')
    const { maxTokens } = file.state
    const isRight =
      labels.length === file.experts.length &&
      labels.every((id) => id >= 0 && id < model.config.vocabularySize) &&
      Number.isSafeInteger(maxTokens)
    if (!isRight)
      throw new FormatError(
        `Router "classifier": state: expected maxTokens and a token of the vocabulary for each of the ${file.experts.length} experts.`,
      )
    const adapter = readAdapter(file.state['adapter'])
    return new ClassifierRouter({ file, model, adapter, labels, maxTokens: maxTokens as number })
  },
}
