// The table of roles' synthetic data. A new role is a file and a row here, and a row in
// adapters/roles.ts.

import { OptionError } from '../../../base/errors.ts'
import { architect } from './architect.ts'
import { coder } from './coder.ts'
import { researcher } from './researcher.ts'
import { reviewer } from './reviewer.ts'
import type { RoleData, TaskGenerator } from './role-data.ts'
import { security } from './security.ts'

export const roleDataTable: ReadonlyMap<string, RoleData> = new Map(
  [coder, researcher, security, architect, reviewer].map((role) => [role.name, role]),
)

export function getRoleData(name: string): RoleData {
  const role = roleDataTable.get(name)
  if (!role)
    throw new OptionError(
      `There is no role "${name}". There are: ${[...roleDataTable.keys()].join(', ')}.`,
    )
  return role
}

/** The task of a name like 'coder/loop'. */
export function getTask(name: string): TaskGenerator {
  const slash = name.indexOf('/')
  const { tasks } = getRoleData(name.slice(0, slash))
  const task = tasks.find((each) => each.name === name.slice(slash + 1))
  if (!task)
    throw new OptionError(
      `There is no task "${name}". There are: ${tasks.map((each) => each.name).join(', ')}.`,
    )
  return task
}
