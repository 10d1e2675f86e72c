"""Views that ask of the server what Django applications ask."""

from __future__ import annotations

import time
from collections.abc import Iterator

from django import forms
from django.core.files.storage import default_storage
from django.http import (
    FileResponse,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    JsonResponse,
    StreamingHttpResponse,
)
from django.shortcuts import redirect, render

from notes.models import Note


class NoteForm(forms.ModelForm):
    class Meta:
        model = Note
        fields = ("text",)


class UploadForm(forms.Form):
    file = forms.FileField()
    title = forms.CharField()


def notes(request: HttpRequest) -> HttpResponse:
    form = NoteForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        form.save()
        return redirect("notes")
    return render(request, "notes/notes.html", {"form": form, "notes": Note.objects.all()})


def upload(request: HttpRequest) -> HttpResponse:
    form = UploadForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        file = form.cleaned_data["file"]
        name = default_storage.save(file.name, file)
        return JsonResponse(
            {"name": name, "size": file.size, "title": form.cleaned_data["title"]}, status=201
        )
    return render(request, "notes/notes.html", {"form": form, "notes": []})


def download(request: HttpRequest, name: str) -> HttpResponseBase:
    return FileResponse(default_storage.open(name), as_attachment=True, filename=name)


def visits(request: HttpRequest) -> HttpResponse:
    request.session["visits"] = request.session.get("visits", 0) + 1
    return HttpResponse(str(request.session["visits"]))


def stream(request: HttpRequest) -> HttpResponseBase:
    def lines() -> Iterator[str]:
        for number in range(1000):
            yield f"line {number}\n"

    return StreamingHttpResponse(lines(), content_type="text/plain")


def slow(request: HttpRequest, number: int) -> HttpResponse:
    time.sleep(0.2)
    return HttpResponse(f"{number} {request.GET['id']}")


def fails(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("the view broke")
