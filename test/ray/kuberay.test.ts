// The YAML files of docs/kuberay.md against KubeRay's schema (a cut of its definition, see there),
// and further requirements: tokens enabled, one image, one shared folder.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Ajv } from 'ajv'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { root } from '../support/sources.ts'

const read = (name: string) =>
  parse(readFileSync(join(root, 'cluster', 'kuberay', name), 'utf8'), { merge: true })
const schema = JSON.parse(
  readFileSync(join(root, 'test', 'fixtures', 'kuberay-raycluster.schema.json'), 'utf8'),
)
const check = new Ajv({ strict: false, validateFormats: false, allErrors: true }).compile(schema)

describe('ray-cluster.yaml', () => {
  const cluster = read('ray-cluster.yaml')
  const [workers] = cluster.spec.workerGroupSpecs
  const pods = [cluster.spec.headGroupSpec, workers].map(({ template }) => template.spec)

  it('fits the schema of a RayCluster, which refuses a wrong key', () => {
    check(cluster)
    expect(check.errors ?? []).toEqual([])
    const wrong = structuredClone(cluster)
    wrong.spec.workerGroupSpecs[0].minReplica = 1
    expect([check(wrong), check.errors!.map(({ message }) => message)]).toEqual([
      false,
      ['must NOT have additional properties'],
    ])
  })

  it('asks for a token everywhere, and mounts one shared folder at one path', () => {
    for (const { containers, volumes } of pods) {
      const [{ env, image, volumeMounts }] = containers
      expect(env).toEqual([
        { name: 'RAY_AUTH_MODE', value: 'token' },
        {
          name: 'RAY_AUTH_TOKEN',
          valueFrom: { secretKeyRef: { name: 'graft-ray-token', key: 'auth_token' } },
        },
      ])
      expect(image).toBe(pods[0].containers[0].image)
      expect(volumeMounts).toEqual([{ name: 'shared', mountPath: '/mnt/graft' }])
      expect(volumes[0].persistentVolumeClaim.claimName).toBe('graft-shared')
    }
  })

  it('gives each worker one slot, and the version of Ray that the page names', () => {
    expect(JSON.parse(JSON.parse(workers.rayStartParams.resources))).toEqual({ graft: 1 })
    const page = readFileSync(join(root, 'docs', 'kuberay.md'), 'utf8')
    expect(page).toContain(`rayproject/ray:${cluster.spec.rayVersion}`)
  })
})

it('shared-volume.yaml claims a volume that many pods may write', () => {
  const claim = read('shared-volume.yaml')
  expect([claim.kind, claim.metadata.name, claim.spec.accessModes]).toEqual([
    'PersistentVolumeClaim',
    'graft-shared',
    ['ReadWriteMany'],
  ])
})
