// The router "mixture": another router whose best experts answer together, weighted by their
// scores.

import { FormatError, OptionError, UnsupportedError } from '../../base/errors.ts'
import {
  integer,
  isRecord,
  number,
  oneOf,
  type OptionValues,
  record,
  string,
} from '../../base/schema.ts'
import { mixDecision, type MixSettings } from '../mixing/mix-experts.ts'
import { checkRouterFile, type RouterFile, routerFileVersion } from '../router-file.ts'
import type {
  RouteClue,
  RouteDecision,
  RoutedExpert,
  RouteFeedback,
  Router,
  RouteRequest,
  RouterKind,
} from '../router.ts'

const fields = {
  kind: string({
    filled: true,
    default: 'embedding',
    about: 'The kind whose scores are mixed by.',
  }),
  options: record,
  most: integer({ from: 1, default: 3, about: 'Experts that answer together at most.' }),
  least: number({
    from: 0,
    below: 1,
    default: 0.1,
    about: 'Experts with a smaller share are left out.',
  }),
  gates: oneOf(['request', 'token'] as const, {
    default: 'request',
    about: 'Whether the weights are those of a request, or of each token (X-LoRA).',
  }),
}

class MixtureRouter implements Router {
  readonly kind = 'mixture'
  readonly #inner: Router
  readonly #settings: MixSettings

  constructor(inner: Router, settings: MixSettings) {
    this.#inner = inner
    this.#settings = settings
  }

  get experts(): readonly string[] {
    return this.#inner.experts
  }

  async decide(request: RouteRequest, signal?: AbortSignal): Promise<RouteDecision> {
    return mixDecision(await this.#inner.decide(request, signal), this.#settings)
  }

  async explain(request: RouteRequest, signal?: AbortSignal): Promise<RouteClue[]> {
    return (await this.#inner.explain?.(request, signal)) ?? []
  }

  async learn(feedback: RouteFeedback): Promise<void> {
    await this.#inner.learn?.(feedback)
  }

  async add(expert: RoutedExpert): Promise<void> {
    if (!this.#inner.add)
      throw new OptionError(
        `Router "mixture": its router "${this.#inner.kind}" takes no new expert. Train it again.`,
      )
    await this.#inner.add(expert)
  }

  save(): RouterFile {
    const { most, least } = this.#settings
    const router = this.#inner.save()
    return {
      format: 'graft-router',
      version: routerFileVersion,
      kind: 'mixture',
      experts: router.experts,
      ...(router.embedder && { embedder: router.embedder }),
      state: { most, least, router },
    }
  }
}

export const mixture: RouterKind = {
  kind: 'mixture',
  about: 'the best experts of another router answer together, weighted by their scores',
  needs: ['train'],
  fields,
  async train(training, given, parts) {
    const { kind, options = {}, most, least, gates } = given as OptionValues<typeof fields>
    if (gates === 'token')
      throw new UnsupportedError(
        'Router "mixture": gates by token (X-LoRA) cannot be served, because the engine feeds one set of weights for a row and a step, while such gates are computed inside of the pass, at each layer and token. Use gates by request, or merge the experts.',
      )
    if (kind === 'mixture')
      throw new OptionError('Router "mixture": kind: expected another kind than "mixture".')
    if (!parts.train)
      throw new OptionError('Router "mixture": train it with createRouter, which knows all kinds.')
    return new MixtureRouter(await parts.train(kind, training, options), { most, least })
  },
  async load(file, { load }) {
    const { most, least, router } = file.state
    if (!load) throw new OptionError('Router "mixture": load it with createRouter.')
    if (!Number.isSafeInteger(most) || typeof least !== 'number' || !isRecord(router))
      throw new FormatError('Router "mixture": state: expected most, least and router.')
    checkRouterFile(router, 'Router "mixture": state.router')
    return new MixtureRouter(await load(router), { most: most as number, least })
  },
}
