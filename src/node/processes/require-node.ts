// The first import of graftlm/node: on a Node that is too old, one sentence in place of an error
// about something that this Node lacks.

import { UnsupportedError } from '../../base/errors.ts'
import { describeOldNode } from './old-node.ts'

const problem = describeOldNode(process.versions)
if (problem !== undefined) throw new UnsupportedError(problem)
