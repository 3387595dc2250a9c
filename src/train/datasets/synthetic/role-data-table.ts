// The table of roles' synthetic data. A new role is a file and a row here, and a row in
// adapters/roles.ts.

import { OptionError } from '../../../base/errors.ts'
import { architect } from './architect.ts'
import { coder } from './coder.ts'
import { researcher } from './researcher.ts'
import { reviewer } from './reviewer.ts'
import type { RoleData, TaskMaker } from './role-data.ts'
import { security } from './security.ts'

export const rolesData: ReadonlyMap<string, RoleData> = new Map(
  [coder, researcher, security, architect, reviewer].map((role) => [role.name, role]),
)

export function roleDataNamed(name: string): RoleData {
  const role = rolesData.get(name)
  if (!role)
    throw new OptionError(
      `There is no role "${name}". There are: ${[...rolesData.keys()].join(', ')}.`,
    )
  return role
}

/** The task of a name like 'coder/loop'. */
export function taskNamed(name: string): TaskMaker {
  const slash = name.indexOf('/')
  const { tasks } = roleDataNamed(name.slice(0, slash))
  const task = tasks.find((each) => each.name === name.slice(slash + 1))
  if (!task)
    throw new OptionError(
      `There is no task "${name}". There are: ${tasks.map((each) => each.name).join(', ')}.`,
    )
  return task
}
