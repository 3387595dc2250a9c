// The queue and the cache of a vLLM server, from its metrics.

export interface VllmGauges {
  readonly running: number | undefined
  readonly waiting: number | undefined
  /** Share of the blocks in use, 0 to 1. */
  readonly kvUsage: number | undefined
  readonly preemptions: number | undefined
}

/** From Prometheus' text form; series of several engines are added, shares are their mean. */
export function readVllmGauges(text: string): VllmGauges {
  const collect = (name: string): number[] =>
    [...text.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? ([-+.\\deE]+)$`, 'gm'))]
      .map(([, value]) => Number(value))
      .filter((value) => Number.isFinite(value))
  const sum = (name: string): number | undefined => {
    const values = collect(name)
    return values.length > 0 ? values.reduce((all, one) => all + one, 0) : undefined
  }
  const usages = collect('vllm:kv_cache_usage_perc')
  const usage = sum('vllm:kv_cache_usage_perc')
  return {
    running: sum('vllm:num_requests_running'),
    waiting: sum('vllm:num_requests_waiting'),
    kvUsage: usage === undefined ? undefined : usage / usages.length,
    preemptions: sum('vllm:num_preemptions_total'),
  }
}
