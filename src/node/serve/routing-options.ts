// The options of a server's router, and what of them reaches the worker that answers.

import { OptionError } from '../../base/errors.ts'
import { flag, number, type OptionFields, string } from '../../base/schema.ts'
import type { RoutedReference } from '../route/find-references.ts'

export interface ServeRoutingOptions {
  /**
   * A router's file (graft route train): it chooses the expert for requests to the model "auto".
   */
  readonly router?: string | undefined
  /** A file to which every decision and its reward are added, a line of JSON each. */
  readonly routeLog?: string | undefined
  /** Whether its rows hold prompts. Default: as `logPrompts`. */
  readonly routeLogPrompts?: boolean | undefined
  /** An OpenAI-compatible base URL that answers below `escalateBelow`. */
  readonly upstream?: string | undefined
  /** The model that is asked there. */
  readonly upstreamModel?: string | undefined
  /** Its key. Default: GRAFT_UPSTREAM_KEY. */
  readonly upstreamKey?: string | undefined
  /** The confidence below which the upstream answers. Default: the router's own. */
  readonly escalateBelow?: number | undefined
}

export const routingFields = {
  router: string({
    filled: true,
    about: 'router of graft route train: chooses the expert for requests to the model "auto"',
  }),
  routeLog: string({
    filled: true,
    about: 'file to which decisions and their rewards are added, for graft route train --from',
  }),
  routeLogPrompts: flag({ about: 'also log the prompts of decisions, which training needs' }),
  upstream: string({
    filled: true,
    about:
      'OpenAI-compatible URL that answers if the router is not confident; key: GRAFT_UPSTREAM_KEY',
  }),
  upstreamModel: string({ filled: true, about: 'the model that is asked there' }),
  upstreamKey: string({ filled: true }),
  escalateBelow: number({
    from: 0,
    to: 1,
    about: "the confidence below which the upstream answers (default: the router's own)",
  }),
} satisfies OptionFields<ServeRoutingOptions>

/** Plain values, so that they reach a worker. */
export interface RoutingTask {
  readonly router: string
  readonly log?: string | undefined
  readonly logsPrompts: boolean
  readonly upstream?:
    { readonly url: string; readonly model: string; readonly key?: string | undefined } | undefined
  readonly escalateBelow?: number | undefined
  /** Experts of the registry, which are loaded when they are chosen. */
  readonly registered?: readonly RoutedReference[] | undefined
}

/**
 * Throws OptionError for parts of routing without a router, and for an upstream that is not a URL.
 */
export function toRoutingTask(
  options: ServeRoutingOptions & { readonly logPrompts?: boolean | undefined },
  environment: Readonly<Record<string, string | undefined>>,
): RoutingTask | undefined {
  const { router, routeLog, upstream, upstreamModel, escalateBelow } = options
  if (router === undefined) {
    const given = (['routeLog', 'upstream', 'upstreamModel', 'escalateBelow'] as const).find(
      (name) => options[name] !== undefined,
    )
    if (given === undefined) return undefined
    throw new OptionError(`Server options: ${given} is for a router, and router is missing.`)
  }
  if (upstream !== undefined) checkUpstream(upstream, upstreamModel)
  return {
    router,
    log: routeLog,
    logsPrompts: options.routeLogPrompts ?? options.logPrompts ?? false,
    escalateBelow,
    ...(upstream !== undefined && {
      upstream: {
        url: upstream,
        model: upstreamModel!,
        key: options.upstreamKey ?? environment['GRAFT_UPSTREAM_KEY'],
      },
    }),
  }
}

function checkUpstream(upstream: string, model: string | undefined): void {
  if (!URL.canParse(upstream) || !/^https?:$/.test(new URL(upstream).protocol))
    throw new OptionError(
      `Server options: upstream: got ${JSON.stringify(upstream)}, expected a URL such as "https://api.example.com/v1".`,
    )
  if (model === undefined)
    throw new OptionError(
      'Server options: upstreamModel is missing: which model of the upstream answers?',
    )
}
