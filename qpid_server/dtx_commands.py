"""The commands of the dtx class (AMQP 0-10), with the C++ broker's error codes.

Where that broker says nothing useful this one follows XA: an association that is suspended may be ended without being
resumed, a session that ends fails its suspended associations as well, a session works for one branch at a time, and
dtx.forget is there, for branches that the broker rolled back by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qpid_messaging.amqp import commands as c
from qpid_messaging.amqp.commands import XaStatus
from qpid_messaging.amqp.values import Array

from .dtx import Association, BranchState, XidKey
from .errors import CommandInvalid, IllegalArgument, IllegalState
from .session import HANDLERS, SessionHandler

if TYPE_CHECKING:
    from .broker import Broker

__all__ = ["DtxSession"]


class DtxSession:
    """The part that distributed transactions have in a session which was selected for use with them.

    The association that it works under now is the session's `transaction`.
    """

    def __init__(self, session: SessionHandler) -> None:
        self._session = session
        self._broker: Broker = session.broker
        self._suspended: dict[XidKey, Association] = {}

    @property
    def _current(self) -> Association | None:
        work = self._session.transaction
        assert work is None or isinstance(work, Association)
        return work

    def start(self, xid: XidKey, *, join: bool) -> XaStatus:
        """Work for a branch, a new one or (join) one that others have started.

        Raises:
            SessionError: the session has an association (409), the xid is known (530), or unknown (404), or prepared
                (503).
        """
        self._check_free()
        suspended = self._suspended.get(xid)
        if suspended is not None:
            if join and self._broker.dtx.knows(suspended.branch):
                raise IllegalState(f"xid {xid} is suspended in this session (use 'resume')")
            if not self._broker.dtx.knows(suspended.branch):
                del self._suspended[xid]
        association = self._broker.dtx.join(xid) if join else self._broker.dtx.start(xid)
        if association is None:
            return XaStatus.XA_RBTIMEOUT
        self._session.transaction = association
        return XaStatus.XA_OK

    def resume(self, xid: XidKey) -> XaStatus:
        """Go on with what was suspended.

        Raises:
            SessionError: the session has an association (409), or none with this xid is suspended (503).
        """
        self._check_free()
        association = self._suspended.pop(xid, None)
        if association is None:
            raise CommandInvalid(f"xid {xid} not attached")
        if association.branch.state is BranchState.TIMED_OUT:
            return association.end()
        self._session.transaction = association
        return XaStatus.XA_OK

    def suspend(self, xid: XidKey) -> XaStatus:
        """Do other work, and go on with this later.

        Raises:
            SessionError: the session has no association (409), or one with another branch (503).
        """
        association = self._associated(xid)
        self._session.transaction = None
        if association.branch.state is BranchState.TIMED_OUT:
            return association.end()
        self._suspended[xid] = association
        return XaStatus.XA_OK

    def end(self, xid: XidKey, *, fail: bool) -> XaStatus:
        """The work is done; or it failed, and the branch can only be rolled back.

        Raises:
            SessionError: as for `suspend`.
        """
        association = self._suspended.pop(xid, None)
        if association is None:
            association = self._associated(xid)
            self._session.transaction = None
        return association.end(fail=fail)

    def abort(self) -> None:
        """The session ends: what it suspended fails (for the association it has, see `Work.abort`)."""
        suspended, self._suspended = self._suspended, {}
        for association in suspended.values():
            association.abort()

    def _check_free(self) -> None:
        if self._current is not None:
            raise IllegalState(f"this session is associated with xid {self._current.branch.xid}")

    def _associated(self, xid: XidKey) -> Association:
        association = self._current
        if association is None:
            raise IllegalState(f"xid {xid} not associated with this session")
        if association.branch.xid != xid:
            raise CommandInvalid(f"xid specified on start was {association.branch.xid}, but {xid} specified on end")
        return association


def _selected(session: SessionHandler) -> DtxSession:
    if session.dtx is None:
        raise CommandInvalid("Session has not been selected for use with dtx")
    return session.dtx


def _xid(xid: c.Xid | None) -> XidKey:
    if xid is None:
        raise IllegalArgument("No xid specified.")
    return XidKey(xid.format or 0, xid.global_id or b"", xid.branch_id or b"")


def _answer(session: SessionHandler, command_id: int) -> Callable[[XaStatus], None]:
    """What tells the client the outcome, unless its session is gone."""

    def done(status: XaStatus) -> None:
        if not session.ended:
            session.result(command_id, c.XaResult(status=status))

    return done


def dtx_select(session: SessionHandler, command_id: int, command: c.DtxSelect) -> None:
    """dtx.select: the session may start work for branches.

    Raises:
        CommandInvalid: it has been selected for local transactions.
    """
    if session.dtx is None:
        if session.transaction is not None:
            raise CommandInvalid("Session has been selected for use with local transactions")
        session.dtx = DtxSession(session)
    session.complete(command_id)


def dtx_start(session: SessionHandler, command_id: int, command: c.DtxStart) -> None:
    """dtx.start: begin, join or resume work for a branch."""
    if command.join and command.resume:
        raise CommandInvalid("Join and resume cannot both be set.")
    dtx = _selected(session)
    xid = _xid(command.xid)
    status = dtx.resume(xid) if command.resume else dtx.start(xid, join=command.join)
    session.result(command_id, c.XaResult(status=status))


def dtx_end(session: SessionHandler, command_id: int, command: c.DtxEnd) -> None:
    """dtx.end: the work is done, has failed, or is suspended."""
    if command.fail and command.suspend:
        raise CommandInvalid("End and suspend cannot both be set.")
    xid = _xid(command.xid)
    if session.dtx is None:
        raise IllegalState(f"xid {xid} not associated with this session")
    status = session.dtx.suspend(xid) if command.suspend else session.dtx.end(xid, fail=command.fail)
    session.result(command_id, c.XaResult(status=status))


def dtx_prepare(session: SessionHandler, command_id: int, command: c.DtxPrepare) -> None:
    """dtx.prepare: from any session; the result is xa-ok, xa-rbrollback or xa-rbtimeout."""
    session.broker.dtx.prepare(_xid(command.xid), _answer(session, command_id))


def dtx_commit(session: SessionHandler, command_id: int, command: c.DtxCommit) -> None:
    """dtx.commit: in one phase, or after prepare; results as for prepare."""
    session.broker.dtx.commit(_xid(command.xid), command.one_phase, _answer(session, command_id))


def dtx_rollback(session: SessionHandler, command_id: int, command: c.DtxRollback) -> None:
    """dtx.rollback: the result is xa-ok, or xa-rbtimeout where that was done before."""
    session.broker.dtx.rollback(_xid(command.xid), _answer(session, command_id))


def dtx_forget(session: SessionHandler, command_id: int, command: c.DtxForget) -> None:
    """dtx.forget: a branch that the broker rolled back by itself."""
    session.broker.dtx.forget(_xid(command.xid))
    session.complete(command_id)


def dtx_recover(session: SessionHandler, command_id: int, command: c.DtxRecover) -> None:
    """dtx.recover: the xids of all prepared branches, once it is certain that they are."""

    def answer() -> None:
        if not session.ended:
            xids = session.broker.dtx.in_doubt()
            session.result(command_id, c.RecoverResult(in_doubt=Array(c.Xid(*xid) for xid in xids)))

    session.broker.journal.when_confirmed(answer)


def dtx_get_timeout(session: SessionHandler, command_id: int, command: c.DtxGetTimeout) -> None:
    """dtx.get-timeout: in seconds."""
    session.result(command_id, c.GetTimeoutResult(timeout=session.broker.dtx.timeout(_xid(command.xid))))


def dtx_set_timeout(session: SessionHandler, command_id: int, command: c.DtxSetTimeout) -> None:
    """dtx.set-timeout: in seconds, from now."""
    session.broker.dtx.set_timeout(_xid(command.xid), command.timeout or 0)
    session.complete(command_id)


HANDLERS.update(
    {
        c.DtxSelect: dtx_select,
        c.DtxStart: dtx_start,
        c.DtxEnd: dtx_end,
        c.DtxPrepare: dtx_prepare,
        c.DtxCommit: dtx_commit,
        c.DtxRollback: dtx_rollback,
        c.DtxForget: dtx_forget,
        c.DtxRecover: dtx_recover,
        c.DtxGetTimeout: dtx_get_timeout,
        c.DtxSetTimeout: dtx_set_timeout,
    }
)
