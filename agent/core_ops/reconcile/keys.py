"""How the settings of unit files add up when they are repeated, what an empty one takes away, and how their words are read.

One table for every program part that layers files, compares them or takes their values apart. A setting that stands in none
of the sets is unknown here: whoever compares must assume that each of its lines counts.
"""

from typing import Literal

from core_ops.reconcile.quoting import SPECIAL, Reading, split

Adding = Literal["dependency", "list", "text", "single", "unknown"]
"""How lines of one setting add up.

`dependency`: all of them count and none is ever taken back. `list`: all since the last empty one. `text`: the last one, an
empty one unsets it. `single`: the last one; an empty one is ignored by some readers and unsets it for others.
"""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Source: systemd.unit(5): a dependency can be added in a drop-in and never taken back.
DEPENDENCIES = _names(
    """
    After Before Requires Requisite Wants BindsTo PartOf Upholds Conflicts OnFailure OnSuccess Sockets
    PropagatesReloadTo ReloadPropagatedFrom PropagatesStopTo StopPropagatedFrom JoinsNamespaceOf
    """
)
_MOUNTS = frozenset({"RequiresMountsFor", "WantsMountsFor"})  # never taken back either, but they are paths

# Source: systemd.unit(5), systemd.service(5), systemd.exec(5), systemd.resource-control(5), systemd.timer(5),
# systemd.socket(5), systemd.path(5), podman-systemd.unit(5).
LISTS = _names(
    """
    Documentation WantedBy RequiredBy UpheldBy Also Alias
    ExecStart ExecStartPre ExecStartPost ExecCondition ExecReload ExecStop ExecStopPre ExecStopPost
    Environment EnvironmentFile PassEnvironment UnsetEnvironment
    LoadCredential LoadCredentialEncrypted SetCredential SetCredentialEncrypted ImportCredential
    BindPaths BindReadOnlyPaths ReadWritePaths ReadOnlyPaths InaccessiblePaths ExecPaths NoExecPaths
    TemporaryFileSystem StateDirectory CacheDirectory LogsDirectory RuntimeDirectory ConfigurationDirectory
    CapabilityBoundingSet AmbientCapabilities SystemCallFilter SystemCallLog SystemCallArchitectures
    RestrictAddressFamilies RestrictNamespaces RestrictFileSystems RestrictNetworkInterfaces SecureBits
    DeviceAllow IPAddressAllow IPAddressDeny IPIngressFilterPath IPEgressFilterPath SocketBindAllow SocketBindDeny
    BPFProgram NFTSet IODeviceWeight IOReadBandwidthMax IOWriteBandwidthMax IOReadIOPSMax IOWriteIOPSMax
    IODeviceLatencyTargetSec SupplementaryGroups OpenFile LogExtraFields LogFilterPatterns MountImages ExtensionImages
    ExtensionDirectories StandardInputText StandardInputData CPUAffinity NUMAMask AllowedCPUs StartupAllowedCPUs
    AllowedMemoryNodes StartupAllowedMemoryNodes SuccessExitStatus RestartPreventExitStatus RestartForceExitStatus
    OnCalendar OnActiveSec OnBootSec OnStartupSec OnUnitActiveSec OnUnitInactiveSec
    ListenStream ListenDatagram ListenSequentialPacket ListenFIFO ListenSpecial ListenNetlink ListenMessageQueue
    ListenUSBFunction Symlinks PathExists PathExistsGlob PathChanged PathModified DirectoryNotEmpty
    AddCapability AddDevice AddHost Annotation DNS DNSOption DNSSearch DropCapability ExposeHostPort
    GIDMap GlobalArgs GroupAdd Label LogOpt Mask Mount Network NetworkAlias PodmanArgs PublishPort Secret Sysctl
    Tmpfs UIDMap Ulimit Unmask Volume ContainersConfModule Gateway IPRange Subnet Options ConfigMap AutoUpdate ImageTag
    """
)

# Values of one line that an empty line unsets, for systemd and Podman alike.
TEXTS = _names(
    """
    Description User Group WorkingDirectory Nice
    Image Rootfs ContainerName HostName IP IP6 Pod PodName Yaml UserNS Timezone WorkingDir StopSignal
    HealthCmd HealthStartupCmd Exec NetworkName VolumeName
    """
)

SINGLES = _names(
    """
    StopWhenUnneeded RefuseManualStart RefuseManualStop AllowIsolate DefaultDependencies SurviveFinalKillSignal CollectMode
    FailureAction SuccessAction FailureActionExitStatus SuccessActionExitStatus JobTimeoutSec JobRunningTimeoutSec
    JobTimeoutAction JobTimeoutRebootArgument StartLimitIntervalSec StartLimitBurst StartLimitAction RebootArgument
    IgnoreOnIsolate OnFailureJobMode OnSuccessJobMode DefaultInstance
    Type ExitType RemainAfterExit GuessMainPID RestartSec RestartSteps RestartMaxDelaySec TimeoutStartSec TimeoutStopSec
    TimeoutAbortSec TimeoutSec TimeoutStartFailureMode TimeoutStopFailureMode RuntimeMaxSec RuntimeRandomizedExtraSec
    WatchdogSec Restart RestartMode RootDirectoryStartOnly NonBlocking NotifyAccess FileDescriptorStoreMax
    FileDescriptorStorePreserve USBFunctionDescriptors USBFunctionStrings OOMPolicy ReloadSignal
    KillMode KillSignal RestartKillSignal SendSIGHUP SendSIGKILL FinalKillSignal WatchdogSignal
    DynamicUser SetLoginEnvironment NoNewPrivileges UMask KeyringMode OOMScoreAdjust TimerSlackNSec CoredumpFilter
    LimitCPU LimitFSIZE LimitDATA LimitSTACK LimitCORE LimitRSS LimitNOFILE LimitAS LimitNPROC LimitMEMLOCK LimitLOCKS
    LimitSIGPENDING LimitMSGQUEUE LimitNICE LimitRTPRIO LimitRTTIME CPUSchedulingPolicy CPUSchedulingPriority
    CPUSchedulingResetOnFork NUMAPolicy IOSchedulingClass IOSchedulingPriority ProtectSystem ProtectHome
    RuntimeDirectoryMode StateDirectoryMode CacheDirectoryMode LogsDirectoryMode ConfigurationDirectoryMode
    RuntimeDirectoryPreserve TimeoutCleanSec PrivateTmp PrivateDevices PrivateNetwork PrivateIPC PrivatePIDs PrivateUsers
    PrivateMounts NetworkNamespacePath IPCNamespacePath ProtectHostname ProtectClock ProtectKernelTunables
    ProtectKernelModules ProtectKernelLogs ProtectControlGroups ProtectProc ProcSubset LockPersonality
    MemoryDenyWriteExecute RestrictRealtime RestrictSUIDSGID RemoveIPC MountFlags MountAPIVFS BindLogSockets
    SystemCallErrorNumber StandardInput StandardOutput StandardError LogLevelMax LogRateLimitIntervalSec LogRateLimitBurst
    SyslogFacility SyslogLevel SyslogLevelPrefix TTYReset TTYVHangup TTYVTDisallocate TTYRows TTYColumns IgnoreSIGPIPE
    UtmpMode UtmpIdentifier RootHash RootVerity RootEphemeral RootDirectory RootImage SourcePath Slice PIDFile BusName
    SyslogIdentifier TTYPath SELinuxContext AppArmorProfile SmackProcessLabel PAMName LogNamespace Personality
    CPUAccounting CPUWeight StartupCPUWeight CPUQuota CPUQuotaPeriodSec MemoryAccounting MemoryMin MemoryLow MemoryHigh
    MemoryMax MemorySwapMax MemoryZSwapMax StartupMemoryHigh StartupMemoryMax TasksAccounting TasksMax IOAccounting IOWeight
    StartupIOWeight IPAccounting DevicePolicy Delegate DelegateSubgroup DisableControllers ManagedOOMSwap
    ManagedOOMMemoryPressure ManagedOOMMemoryPressureLimit ManagedOOMPreference MemoryPressureWatch
    AccuracySec RandomizedDelaySec FixedRandomDelay OnClockChange OnTimezoneChange Persistent WakeSystem Unit
    SocketProtocol BindIPv6Only Backlog BindToDevice SocketUser SocketGroup SocketMode DirectoryMode Accept Writable
    FlushPending MaxConnections MaxConnectionsPerSource KeepAlive KeepAliveTimeSec KeepAliveIntervalSec KeepAliveProbes
    NoDelay Priority DeferAcceptSec ReceiveBuffer SendBuffer IPTOS IPTTL Mark ReusePort PipeSize FreeBind Transparent
    Broadcast PassCredentials PassSecurity PassPacketInfo Timestamping RemoveOnStop Service FileDescriptorName
    TriggerLimitIntervalSec TriggerLimitBurst PollLimitIntervalSec PollLimitBurst MakeDirectory
    ServiceName StartWithPod Pull ReadOnly ReadOnlyTmpfs RunInit Notify CgroupsMode EnvironmentHost LogDriver ShmSize
    Entrypoint PidsLimit Memory SeccompProfile SecurityLabelDisable SecurityLabelFileType SecurityLabelLevel
    SecurityLabelNested SecurityLabelType SubUIDMap SubGIDMap RemapUid RemapGid RemapUsers Retry RetryDelay StopTimeout
    HealthInterval HealthOnFailure HealthRetries HealthStartPeriod HealthStartupInterval HealthStartupRetries
    HealthStartupSuccess HealthStartupTimeout HealthTimeout HealthLogDestination HealthMaxLogCount HealthMaxLogSize
    DisableDNS Driver IPAMDriver IPv6 Internal Copy Device TLSVerify AuthFile AllTags Arch OS Variant Creds DecryptionKey
    CertDir File ForceRM Target SetWorkingDirectory ExitCodePropagation KubeDownForce
    What Where SloppyOptions LazyUnmount ReadWriteOnly ForceUnmount TimeoutIdleSec ExtraOptions CreateMountpoint
    """
)

# An empty line of one of these takes back the lines of all of them.
_FAMILIES = (
    "OnCalendar OnActiveSec OnBootSec OnStartupSec OnUnitActiveSec OnUnitInactiveSec",
    """
    ListenStream ListenDatagram ListenSequentialPacket ListenFIFO ListenSpecial ListenNetlink ListenMessageQueue
    ListenUSBFunction
    """,
    "PathExists PathExistsGlob PathChanged PathModified DirectoryNotEmpty",
    "BindPaths BindReadOnlyPaths",
    "LoadCredential LoadCredentialEncrypted",
    "SetCredential SetCredentialEncrypted",
)
_FAMILY = {key: f"{family.split()[0]}=" for family in _FAMILIES for key in family.split()}
_CHECKS = ("Condition", "Assert")

INSTALL_KEYS = ("WantedBy", "RequiredBy", "UpheldBy")
"""What asks for a unit to be started; systemd.unit(5), “[Install] Section Options”."""

# What a running unit is not started from: systemd goes by the new value once it has read its units again.
# Source: systemd.unit(5), systemd.service(5) and systemd.kill(5), and a look at systemd 257 for each of them.
TAKEN_IN = {
    "Unit": _names(
        """
        Description Documentation OnFailure OnSuccess OnFailureJobMode OnSuccessJobMode FailureAction SuccessAction
        StartLimitIntervalSec StartLimitBurst StartLimitAction JobTimeoutSec RefuseManualStart RefuseManualStop CollectMode
        """
    ),
    "Service": _names(
        """
        Restart RestartSec RestartSteps RestartMaxDelaySec TimeoutStartSec TimeoutStopSec TimeoutAbortSec TimeoutSec
        ExecReload ExecStop ExecStopPost SuccessExitStatus RestartPreventExitStatus RestartForceExitStatus
        KillMode KillSignal RestartKillSignal FinalKillSignal SendSIGHUP SendSIGKILL
        """
    ),
}

# What systemd takes for a truth value, in any case. Source: systemd.syntax(7); systemd 257, which takes single letters too.
YES = frozenset({"1", "yes", "y", "true", "t", "on"})
NO = frozenset({"0", "no", "n", "false", "f", "off"})

QUADLET_SECTIONS = frozenset({"Container", "Pod", "Kube", "Network", "Volume", "Image", "Build"})
"""The sections that only the generator reads; podman-systemd.unit(5)."""

_ARGUMENTS = _names("Annotation Environment EnvironmentFile Exec GlobalArgs Label Mask Mount PodmanArgs Secret Unmask")
_QUADLET_LISTS = _names("AddCapability AddDevice DropCapability GIDMap LogOpt Sysctl UIDMap")
_COMMANDS = frozenset(key for key in LISTS if key.startswith("Exec") and not key.endswith("Paths"))
_ASSIGNMENTS = frozenset({"Environment", "UnsetEnvironment"})


def adding(key: str, section: str = "") -> Adding:
    """Return how lines of a setting add up; `section` matters where two have a setting of one name."""
    if (section, key) == ("Mount", "Options"):
        return "text"
    if key in LISTS or key.startswith(_CHECKS):
        return "list"
    if key in DEPENDENCIES or key in _MOUNTS:
        return "dependency"
    if key in TEXTS:
        return "text"
    return "single" if key in SINGLES else "unknown"


def family(key: str) -> str:
    """Return what an empty line of a setting resets: its own name, or one that several settings share.

    Source:
        systemd.unit(5), “Conditions and Asserts”; systemd.timer(5), systemd.socket(5), systemd.path(5).
    """
    if key.startswith(_CHECKS):
        return "Condition=" if key.startswith("Condition") else "Assert="
    return _FAMILY.get(key, key)


def resets(by: str, key: str) -> bool:
    """Whether an empty line of the setting `by` takes back lines of `key`."""
    return (by == key or family(by) == family(key)) and adding(key) != "dependency"


def ordered(key: str) -> bool:
    """Whether the order of lines counts between all settings of the family: sockets are passed on as they are written."""
    return _FAMILY.get(key) == "ListenStream="


def reading(section: str, key: str) -> Reading | None:
    """Return how a setting's value becomes words; None when nothing is known of it."""
    if section in QUADLET_SECTIONS:
        return "arguments" if key in _ARGUMENTS else "list" if key in _QUADLET_LISTS else None
    if key in DEPENDENCIES:
        return "names"
    if key in _COMMANDS:
        return "command"
    if section == "Install":
        return "strings"
    return "assignments" if key in _ASSIGNMENTS else None


def taken_in(section: str, key: str) -> bool:
    """Whether a unit that runs needs no restart for another value: reading the units again, or its links, is enough."""
    return section == "Install" or key in TAKEN_IN.get(section, frozenset())


def misread(section: str, key: str, value: str) -> str:
    """Return why words of a value are lost on the program that reads it; empty when none are."""
    how = reading(section, key) if SPECIAL.search(value) else None
    if how is None:
        return ""
    if how == "names":
        return "quotes, and systemd knows no unit by such a name" if '"' in value or "'" in value else ""
    fault = split(value, how).fault
    reader = "podman" if section in QUADLET_SECTIONS else "systemd"
    return f"{fault}: {reader} drops what it stands in or what follows" if fault else ""
