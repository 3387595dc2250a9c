// One sequence that the engine answers: plain fields, which the scheduler reads and the engine
// changes. Independent of tensors, rows and texts.

/**
 * 'waiting': has no row, because it is new or was pre-empted. 'reading': its tokens are in prefill.
 * 'writing': it is decoded, one token a step. 'ended': finished, cancelled or failed.
 */
export type SequenceState = 'waiting' | 'reading' | 'writing' | 'ended'

export interface Sequence {
  /** Rising by arrival. */
  readonly id: number
  /** Milliseconds. */
  readonly arrivedAt: number
  /** The key of the expert that answers; '' is the base. Equal keys wait in one queue. */
  readonly expert: string
  /** Prompt and answer, virtual tokens first: one array that grows. */
  readonly tokens: number[]
  /** Positions whose keys and values are in the row. */
  computed: number
  state: SequenceState
  /** How often it lost its row to an older sequence. */
  preemptions: number
}

export function createSequence(
  given: Pick<Sequence, 'id' | 'arrivedAt' | 'expert'> & { readonly tokens: readonly number[] },
): Sequence {
  const { id, arrivedAt, expert, tokens } = given
  return {
    id,
    arrivedAt,
    expert,
    tokens: [...tokens],
    computed: 0,
    state: 'waiting',
    preemptions: 0,
  }
}
