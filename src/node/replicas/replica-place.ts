// A process finds its replica's rank in its environment, so that the command line is the same as
// without replicas. The process that starts replicas sets it.

import { OptionError } from '../../base/errors.ts'
import { integer, readOptions } from '../../base/schema.ts'

/** JSON: { "rank": 0, "size": 2, "attempt": 1, "threads": 1 } */
export const placeVariable = 'GRAFT_REPLICA'

const placeTable = {
  rank: integer({ default: 0, from: 0, about: 'counted from 0' }),
  size: integer({ default: 1, from: 1, about: 'replicas in all' }),
  attempt: integer({
    default: 1,
    from: 1,
    about: 'from the second on, the run continues from its last checkpoint, if there is one',
  }),
  threads: integer({ from: 1, about: 'of this replica, unless the command line sets it' }),
}

export interface ReplicaPlace {
  readonly rank: number
  readonly size: number
  readonly attempt: number
  readonly threads?: number | undefined
}

/**
 * This process's place; undefined if it is not a replica. Throws OptionError for an invalid value.
 */
export function readReplicaPlace(
  environment: Readonly<Record<string, string | undefined>>,
): ReplicaPlace | undefined {
  const text = environment[placeVariable]
  if (text === undefined || text === '') return undefined
  let given: unknown
  try {
    given = JSON.parse(text)
  } catch {
    throw new OptionError(
      `${placeVariable}: got ${text}, expected JSON such as {"rank":0,"size":2,"attempt":1}.`,
    )
  }
  const place = readOptions(placeVariable, given, placeTable)
  if (place.rank >= place.size)
    throw new OptionError(`${placeVariable}: rank ${place.rank} is not below size ${place.size}.`)
  return place
}
